# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The cable of the destination's migration network is pulled.
finds=('error|migration-port-unreachable|source check and lock|source' 'warning|migration-port-unreachable|source check and lock|destination')
ends='connect-failed|copy|source'
words='nothing was heard|no answer|No route to host|timed out'
inject() { ip -n "$lab_name-sw" link set h2-mig down; }
heal() { ip -n "$lab_name-sw" link set h2-mig up; }
