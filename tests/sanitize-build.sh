#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sanitize-build.sh FOLDER KIND SUITE…: what the tests of these suites need, built with the sanitizers KIND (as Meson's b_sanitize names them).
set -euo pipefail
folder=$1 kind=$2
shift 2
cd "$(dirname "$0")/.."
[ -f "$folder/build.ninja" ] || meson setup "$folder" -Db_sanitize="$kind" -Db_lundef=false -Dbuildtype=debug -Doptimization=1 >/dev/null
mapfile -t targets < <(jq -r --arg top "$folder/" --slurpfile all "$folder/meson-info/intro-targets.json" '
    ($all[0] | map({(.id): .filename}) | add) as $files
    | [.[] | select(any(.suite[]; split(":")[1] | IN($ARGS.positional[]))) | .depends[]] | unique | .[] | $files[.][] | ltrimstr($top)' \
    "$folder/meson-info/intro-tests.json" --args "$@")
exec ninja -C "$folder" "${targets[@]}"
