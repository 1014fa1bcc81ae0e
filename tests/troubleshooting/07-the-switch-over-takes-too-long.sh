# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The guest stands still already, and the destination's QEMU does not take it over within the limit: it runs on at the source.
ends='switchover-limit|switch-over|source'
words='h2|limit'
with=(--switchover-limit 1)
hold=switch-over
inject() { paused=("${stopped[@]}"); }
heal() { cont_stopped; }
