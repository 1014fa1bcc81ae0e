# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The process that receives the guest's memory is killed: the reason crosses to the task, not the source's broken connection.
ends='job-died|copy|destination'
words='godwit-job|ended'
hold=copy
inject() { kill_program h2 godwit-job; }
