# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination's ports are scanned while the VM moves: the door turns strangers away, counts them, and the move ends well.
ends=moved
hold=copy
inject() {
    before=$(strangers)
    godwit lab exec h3 -- nmap -n -Pn -sT -p 7990-8010 198.18.2.12 >/dev/null
}
strangers() { godwit host show h2 --json | jq .facts.strangers; }
witness() { [ -n "${before:-}" ] && [ "$(strangers)" -gt "$before" ]; }
heal() { before=; }
