# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The tool that asked for the move is killed while it waits: the move goes on, and the same call with the same key finds it and waits for its end.
ends=moved
inject() {
    local tool
    godwit vm migrate vm --to h2 --bandwidth 4 --client-key "$lab_name" --json >/dev/null 2>&1 &
    tool=$!
    wait_until 30 "the copy" has_begun
    kill -KILL $tool
    wait $tool || true
    with=(--client-key "$lab_name")
}
has_begun() { begun=$(godwit task ls --vm vm --json | jq -r 'first(.tasks[] | select(.state == "running" and .phase == "copy") | .task) // ""') && [ -n "$begun" ]; }
witness() { [ -n "${begun:-}" ] && [ "$(jq -r .task <<<"$said")" = "$begun" ]; }
heal() { begun='' with=(); }
