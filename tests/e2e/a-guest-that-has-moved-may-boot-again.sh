#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest with a network card that boots again after it has moved goes on in the same QEMU.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
cat "$linux/initrd" "$linux/guest-agent" >"$lab_dir/initrd-with-agent"
godwit vm create web --memory 256 --host h1 --accel tcg --kernel "$linux/vmlinuz" --initrd "$lab_dir/initrd-with-agent" --network vmnet \
    --append "console=ttyS0 quiet gw.ip=198.18.3.10/24 notice=reboot" --guest-agent yes --notice-timeout 5 --start
wait_until 120 "the guest to be ready" console_has web "GUEST ready"
migrate web h2 >/dev/null
pid=$(godwit vm show web --json | jq .pid)
# After a move the log begins anew on the other host.
wait_until 120 "the guest to be ready again" console_has web "GUEST ready"
[ "$(godwit vm show web --json | jq -c '[.state, .host, .pid]')" = "[\"running\",\"h2\",$pid]" ] || fail "it did not go on: $(godwit vm show web --json)"
migrate web h1 >/dev/null
[ "$(vm_host web)" = h1 ] || fail "it did not move again"
say "done after $SECONDS s"
