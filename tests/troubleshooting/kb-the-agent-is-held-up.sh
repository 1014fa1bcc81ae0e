# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The agent got no processor for some seconds, and works again.
examined=('warning|agent')
words='main loop was up to [0-9]+ ms late'
cure='pressure'
prepare() { agent_restart h2; }
inject() {
    stop_program h2 godwit-agent
    sleep 3
    cont_stopped
}
heal() {
    cont_stopped
    agent_restart h2
}
