# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination agreed, and then does not answer while it should start the shell of the VM.
ends='no-answer|destination shell|destination'
words='no answer of host .h2. for 8 s: it was asked to start the shell of the VM'
hold=shell
inject() { paused=("${stopped[@]}"); }
heal() { cont_stopped; }
