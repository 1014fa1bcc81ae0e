# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination does not answer in the switch-over, and the operator cancels: at once, and the guest runs on at the source.
ends='cancelled|switch-over|'
hold=switch-over
inject() { paused=("${stopped[@]}"); }
outlast() { godwit task cancel "$task" >/dev/null; }
heal() { cont_stopped; }
