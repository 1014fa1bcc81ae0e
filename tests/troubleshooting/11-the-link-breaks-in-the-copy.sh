# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The cable is pulled in the copy, for longer than the move may wait.
ends='resume-limit|copy|source'
words='no memory crossed over new ones within 1 s'
with=(--resume-limit 1)
hold=copy
inject() { ip -n "$lab_name-sw" link set h2-mig down; }
heal() { ip -n "$lab_name-sw" link set h2-mig up; }
