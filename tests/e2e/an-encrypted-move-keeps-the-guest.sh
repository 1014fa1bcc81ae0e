#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Moves are encrypted unless asked otherwise, and the guest's memory is whole either way.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
checker_vm check h1 256 1 tcg "mb=64 rate=100 mode=page"
to=h2
for mode in "" required disabled opportunistic; do
    task=$(migrate check $to --verify ${mode:+--encryption $mode}) || fail "$mode to $to: $(jq -c .error <<<"$task")"
    want="tls13-psk AES-128-GCM"
    grep -qw aes /proc/cpuinfo || want="tls13-psk CHACHA20-POLY1305"
    [ "$mode" != disabled ] || want="none "
    [ "$(jq -r '.encryption + " " + .encryption_cipher' <<<"$task")" = "$want" ] ||
        fail "$mode: $(jq -c '[.encryption, .encryption_cipher]' <<<"$task")"
    jq -e '.timeline | map(select(.event == "connected" or .event == "source connected")) | length == 2' <<<"$task" >/dev/null ||
        fail "the timeline does not say how both sides are connected: $(jq -c .timeline <<<"$task")"
    checker_is_whole check
    say "${mode:-by default} to $to: $want, downtime $(jq .downtime_ms <<<"$task") ms"
    if [ $to = h2 ]; then to=h1; else to=h2; fi
done
if task=$(migrate check $to --encryption maybe); then
    fail "an unknown mode was taken"
fi
