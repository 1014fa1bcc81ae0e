# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The source's agent is restarted in the copy, as one does with an agent that hangs: the guest runs on, and the task says why it ended.
ends='agent-restarted|copy|source'
words='was restarted|took the VM back'
hold=copy
inject() { kill_program h1 godwit-agent; }
heal() { wait_until 30 "all hosts" all_connected; }
