#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An agent that ended in a switch-over leaves a guest that stands. The next agent lets it run at once, however long its QEMU takes to tell about itself; it
# serves when it knows that too.
. "$(dirname "$0")/../functions.sh" "$1"
tools=/run/gwt-$$-tools
on_exit "rm -rf $tools"
mkdir -m 755 "$tools"
cp "$build/tests/tools/slow-qemu" "$tools/slow-qemu"
lab_up --hosts 2 --qemu "h1=$tools/slow-qemu"
checker_vm one h1 128 1 tcg "mb=16 rate=5"
uuid=$(godwit vm show one --json | jq -r .spec.uuid)
folder=$lab_dir/hosts/h1/run/vms/$uuid
# The agent's log of the console goes on without an agent: QEMU writes it.
work() { sed -n 's/^CHK t_ms=.* total=\([0-9]*\) .*cpu0=[0-9].*/\1/p' "$folder/console.log" | tail -n 1; }
works() { [ "$(work)" -gt "$1" ]; }

godwit lab service stop h1
wait_until 20 "the end of the agent" has_no_agent h1
python3 - "$folder" <<'PYTHON'
import json, socket, sys
qmp = socket.socket(socket.AF_UNIX)
qmp.connect(sys.argv[1] + "/qmp.sock")
answers = qmp.makefile()
answers.readline()
for command in ("qmp_capabilities", "stop"):
    qmp.sendall(json.dumps({"execute": command}).encode() + b"\n")
    while "return" not in json.loads(answers.readline()):
        pass
PYTHON
stood=$(work)
sleep 1
[ "$(work)" = "$stood" ] || fail "the guest was not stopped"

touch "$tools/slow-qemu.wait"
godwit lab service start h1
wait_until 30 "the guest to go on" works "$stood"
! agent_listens h1 || fail "the agent serves before it knows its QEMU"
rm "$tools/slow-qemu.wait"
wait_until 60 "the agent to serve" agent_listens h1
wait_until 30 "host h1" host_is_connected h1
godwit host show h1 --json | jq -e '.facts.qemu_version != ""' >/dev/null || fail "h1 does not know its QEMU: $(godwit host show h1)"
checker_is_whole one
