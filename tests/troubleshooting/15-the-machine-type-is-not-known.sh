# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The VM has the machine type of a newer QEMU than the destination's.
finds=('error|machine-unknown|destination check|destination')
ends='machine-unknown|destination check|destination'
words='pc-q35-10.0'
vm=new from=h3 to=h1
prepare() {
    need_qemu10
    setting h3 "s|^\[agent\]|&\nqemu=$qemu10\nqemu_data=$qemu10_data|"
}
inject() { guest h3 "mb=4 rate=1"; }
heal() {
    no_guest
    guest h3 "mb=4 rate=1" --machine pc-q35-7.2
}
tidy() {
    no_guest
    settings_back h3
    rm -rf "$qemu10_data"
}
