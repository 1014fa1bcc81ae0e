#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# docs/openapi.json, which the manager serves, is true: each operation of a lab's manager takes what it says and answers as it says, no member more or less, and
# the manager draws each limit where the document does. Whatever goes wrong is told in the one form, with the status of its code.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 3
checker_vm web h1 128 1 tcg "mb=16 rate=5"
checker_vm other h1 128 1 tcg "mb=16 rate=5"
godwit lab service stop h3
is_away() { ! host_is_connected h3; }
wait_until 60 "host h3 to be away" is_away
token=$(sed -n 's/^token=//p' "$lab_dir/cli.conf")
ip netns exec "$lab_name-mgr" "$tests/api/walk.py" 198.18.1.1:8400 "$lab_dir/manager/state/ca.crt" "$token" "$lab_dir" "$tests/../docs/openapi.json"
checker_is_whole web
checker_is_whole other
