# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# There is no room for what the doctor packs for a doctor elsewhere; with room it is whole.
examined=('error|bundle-failed')
words='cannot write .*No space left on device'
cure='make room in .*or set TMPDIR'
examine() {
    TMPDIR=$small ask_doctor --bundle "$small/bundle.tar.gz"
    [ ! -e "$small/bundle.tar.gz" ] || tar -tzf "$small/bundle.tar.gz" | grep -q '/doctor.json$' || fail "the bundle has not what the doctor found"
    [ -e "$small/bundle.tar.gz" ] || jq -e .error <<<"$seen" >/dev/null || fail "there is neither bundle nor error: $seen"
    rm -f "$small/bundle.tar.gz"
}
inject() { head -c 64M /dev/zero >"$small/filler" 2>/dev/null || [ -s "$small/filler" ]; }
heal() { rm -f "$small/filler"; }
