#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# sanitize-build.sh FOLDER KIND: a build of everything with the sanitizers KIND (as Meson's b_sanitize names them).
set -euo pipefail
folder=$1 kind=$2
cd "$(dirname "$0")/.."
[ -f "$folder/build.ninja" ] || meson setup "$folder" -Db_sanitize="$kind" -Db_lundef=false -Dbuildtype=debugoptimized >/dev/null
ninja -C "$folder"
