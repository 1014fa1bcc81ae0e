# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The guest was started with features that the destination does not have. Host h3 is a fake of a machine with a lesser CPU (tests/tools/lesser-cpu.c).
finds=('error|cpu-features-missing|source check and lock|destination')
ends='cpu-features-missing|source check and lock|destination'
words='h3. lacks CPU features .*: avx2'
vm=wide to=h3
prepare() { lesser_h3; }
inject() { guest h1 "mb=4 rate=1" --cpu-model max; }
heal() {
    no_guest
    guest h1 "mb=4 rate=1"
}
tidy() {
    no_guest
    settings_back h3
}
