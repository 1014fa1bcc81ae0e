# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination's QEMU has no firmware that it could load.
ends='qemu-ended|destination shell|destination'
words='bios-256k.bin'
inject() { : >"$firmware/bios-256k.bin"; }
heal() { cp /usr/share/seabios/bios-256k.bin "$firmware"; }
