# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination's shell waits, and the source's agent does not answer any more: the task says whom it waits for. It ends when that one is back, which alone
# knows whether it keeps the VM.
ends='no-answer|copy|source'
words='no answer of host .h1. for 8 s: it was asked to start to send the memory'
hold=shell
inject() { stop_program h1 godwit-agent; }
outlast() {
    wait_until 40 "the task to give the source up" has_its_error
    cont_stopped
}
has_its_error() { task_json | jq -e '.error != null' >/dev/null; }
heal() { cont_stopped; }
