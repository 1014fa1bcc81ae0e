#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A host that has only a copy of the VM's disk at its path is refused before anything is made there; a clock that is wrong and an MTU of its own are
# warnings, with which the VM moves. (CPU features: qemu-versions-fit-or-are-refused.)
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
disk=$(disk_image vm 8M)
godwit vm create web --host h1 --memory 128 --cpus 1 --accel tcg --network vmnet --disk "$disk" --kernel "$checker" \
    --append "vcpus=1 mb=24 sweep_ms=500 rate=2 mode=page" --start >/dev/null
wait_until 60 "the guest to be filled and to report" checker_reports web

# restart_h2 PREFIX…: its agent, and all that it starts, through these programs.
service=$lab_dir/services/h2.service
cp "$service" "$lab_dir/h2.service"
put_before() {
    local word words=
    for word in "$@"; do words+="$word;"; done
    awk -v words="$words" '/^argv=/ { $0 = "argv=" words substr($0, 6) } { print }' "$lab_dir/h2.service" >"$service"
}
restart_h2() { agent_restart h2 put_before "$@"; }
verdict() { godwit vm check web --to h2 --json | jq -c '.hosts[0] | [.result, [.findings[] | [.id, .severity, .side]]]'; }
[ "$(verdict)" = '["passed",[]]' ] || fail "$(verdict)"

# A check asks both hosts as they are now: an MTU is seen as soon as it is set, and not later.
link_of() { ip -n "$lab_name-$1" -json address | jq -r --arg at "$2" '.[] | select(any(.addr_info[]; .local == $at)) | .ifname'; }
for host in h1:198.18.2.11 h2:198.18.2.12; do
    link=$(link_of "${host%:*}" "${host#*:}")
    ip -n "$lab_name-${host%:*}" link set dev "$link" mtu 1400
    found=$(verdict)
    ip -n "$lab_name-${host%:*}" link set dev "$link" mtu 1500
    [ "$found" = '["warnings",[["migration-mtu-differs","warning","destination"]]]' ] || fail "with an MTU of 1400 on ${host%:*}: $found"
    [ "$(verdict)" = '["passed",[]]' ] || fail "with the MTU of before: $(verdict)"
done

# In a mount namespace of its own h2 has a copy, to the last byte and with its times.
cp --preserve=all "$disk" "$lab_dir/datastore/copy.qcow2"
cat >"$lab_dir/with-copy" <<END
#!/bin/sh
mount --bind "$lab_dir/datastore/copy.qcow2" "$disk" && exec "\$@"
END
chmod 755 "$lab_dir/with-copy"
restart_h2 unshare --mount "$lab_dir/with-copy"
before=$(godwit vm show web --json | jq -c '[.state, .host, .pid, .spec]')
[ "$(verdict)" = '["refused",[["disk-differs","error","destination"]]]' ] || fail "$(verdict)"
task=$(migrate web h2) && fail "it moved to a copy of its disk"
say "$(jq -r '.error | .message + "; " + .cause + "; " + .fix' <<<"$task")"
[ "$(jq -r '.error | .id + " " + .phase + " " + .side' <<<"$task")" = "disk-differs source check and lock destination" ] || fail "$(jq -c .error <<<"$task")"
jq -e --arg disk "$disk" '.error | (.message | contains($disk)) and (.cause | contains("inode")) and .fix != ""' <<<"$task" >/dev/null || fail "$(jq -c .error <<<"$task")"
[ -z "$(pids_in h2 qemu-system-x86)" ] || fail "a QEMU was started on h2"
[ "$(godwit vm show web --json | jq -c '[.state, .host, .pid, .spec]')" = "$before" ] || fail "the VM was changed: $(godwit vm show web --json)"
checker_is_whole web

# A clock that is 90 s ahead, and large packets at one end only.
echo 90 >"$lab_dir/clock-h2"
link=$(link_of h2 198.18.2.12)
ip -n "$lab_name-h2" link set dev "$link" mtu 1400
restart_h2 env "LD_PRELOAD=$build/tests/tools/clock-jump.so" "CLOCK_JUMP_FILE=$lab_dir/clock-h2"
answer=$(godwit vm check web --to h2 --json) || fail "warnings were taken for errors: $answer"
[ "$(jq -c '.hosts[0] | [.result, [.findings[] | [.id, .severity, .side]]]' <<<"$answer")" = \
    '["warnings",[["clock-differs","warning","destination"],["migration-mtu-differs","warning","destination"]]]' ] || fail "$answer"
jq -e '.hosts[0].findings | (.[0].message | test("by 9[01]\\.[0-9] s")) and (.[0].cause | test("ahead")) and (.[1].message | test("1500 and 1400")) and all(.[]; .cause != "" and .fix != "")' \
    <<<"$answer" >/dev/null || fail "$answer"
shown=$(godwit vm check web --to h2)
grep -q "differs from the manager's" <<<"$shown" || fail "the command line does not show it: $shown"
task=$(migrate web h2 --verify) || fail "it did not move: $(jq -c .error <<<"$task")"
checker_is_whole web
