# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# A VM whose CPU model is all that its host has goes to a host that has more: it goes on without that. Host h3 is a fake of a machine with a lesser CPU
# (tests/tools/lesser-cpu.c).
finds=('warning|cpu-config-modified|source check and lock|destination')
words='without.*avx2'
vm=wide from=h3 to=h1
prepare() { lesser_h3; }
inject() { guest h3 "mb=4 rate=1" --cpu-model max; }
heal() {
    no_guest
    guest h3 "mb=4 rate=1"
}
tidy() {
    no_guest
    settings_back h3
}
