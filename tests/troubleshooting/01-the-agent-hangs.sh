# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination's agent runs and says nothing.
ends='no-answer|destination check|destination'
words='no answer of host .h2. for 5 s: it was asked to check whether the VM can come'
inject() { stop_program h2 godwit-agent; }
heal() { cont_stopped; }
