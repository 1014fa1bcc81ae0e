# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The destination's clock is a minute and a half ahead.
finds=('warning|clock-differs|destination check|destination')
words='h2.* differs from .* by 9[01]\.[0-9] s'
inject() { echo 90 >"$lab_dir/clock-h2"; }
heal() { echo 0 >"$lab_dir/clock-h2"; }
