#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A guest that UEFI booted moves there and back, with the variables of its firmware; what a host lacks for that is found before the move, and what its
# firmware costs while the guest stands is told beside a guest of BIOS.
. "$(dirname "$0")/../functions.sh" "$1"
template=/usr/share/OVMF/OVMF_VARS_4M.fd
nvram=$lab_dir/datastore/web.nvram
create=(godwit vm create web --memory 256 --cpus 1 --host h1 --network vmnet --kernel "$linux/vmlinuz" --initrd "$linux/initrd"
    --append "console=ttyS0 quiet gw.ip=198.18.3.10/24 gw.work=16:5")
lab_up
on_h2() { sed -i -e '/^uefi_/d' -e "s|^\[agent\]|[agent]\n$1|" "$lab_dir/hosts/h2/agent.conf"; }
finds() { godwit vm check web --to h2 --json | jq -r '[.hosts[0].findings[].id] | sort | join(" ")'; }
find_only() { [ "$(finds)" = "$1" ] || fail "$1 was to be found: $(godwit vm check web --to h2 --json)"; }
boot_id() { guest_says count | jq -r .boot_id; }
# booted_anew BOOT-ID: it answers, and not as the guest that had this one
booted_anew() {
    local now
    now=$(boot_id 2>/dev/null) && [ -n "$now" ] && [ "$now" != "$1" ]
}
# move_to HOST [OPTION…]: prints what it cost
move_to() {
    local task
    task=$(migrate web "$@") || fail "to $1: $(jq -c .error <<<"$task")"
    [ "$(vm_host web)" = "$1" ] || fail "web is on $(vm_host web)"
    [ "$(boot_id)" = "$booted" ] || fail "it is not the same guest"
    jq -r '"downtime \(.downtime_ms) ms"' <<<"$task"
}

expect_error nvram-missing "${create[@]}" --firmware uefi
expect_error nvram-without-uefi "${create[@]}" --nvram "$nvram"
expect_error disk-twice "${create[@]}" --firmware uefi --nvram "$nvram" --disk "$nvram"
expect_error nvram-not-made "${create[@]}" --firmware uefi --nvram /proc/web.nvram --start
godwit vm rm web >/dev/null

"${create[@]}" --start
wait_until 60 "the guest of BIOS" console_has web "GUEST ready"
booted=$(boot_id)
say "BIOS: $(move_to h2 --verify), back $(move_to h1)"
godwit vm stop web >/dev/null
godwit vm set web --firmware uefi --nvram "$nvram" >/dev/null
godwit vm start web >/dev/null
wait_until 120 "the guest of UEFI" booted_anew "$booted"
booted=$(boot_id)
[ "$(stat -c '%u %a %s' "$nvram")" = "64101 600 $(stat -c %s $template)" ] || fail "$(ls -ln "$nvram")"
! cmp -s "$nvram" $template || fail "the firmware kept nothing in its variables"
cp "$nvram" "$lab_dir/before"

find_only ""
agent_restart h2 on_h2 uefi_code=/no/such/firmware
find_only firmware-missing
expect_error firmware-missing godwit vm migrate web --to h2
agent_restart h2 on_h2 uefi_code=/usr/share/OVMF/OVMF_CODE.fd
find_only firmware-differs
expect_error firmware-differs godwit vm migrate web --to h2
agent_restart h2 on_h2 ""
mv "$nvram" "$nvram.away"
find_only nvram-not-accessible
expect_error nvram-not-accessible godwit vm migrate web --to h2
mv "$nvram.away" "$nvram"
find_only ""

say "UEFI: $(move_to h2 --verify), back $(move_to h1)"
cmp "$nvram" "$lab_dir/before" || fail "the moves changed the variables of the firmware"
guest_says work | jq -e '.bad == 0 and .work > 0' >/dev/null || fail "its memory: $(guest_says work)"
godwit vm stop web >/dev/null
godwit vm start web >/dev/null
wait_until 120 "the guest to boot again" booted_anew "$booted"
