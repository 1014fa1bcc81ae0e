# shellcheck shell=bash disable=SC2034
# SPDX-License-Identifier: Apache-2.0
# The guest writes faster than the link takes, and may not be held up for it.
ends='not-converging|copy|source'
words='sending the rest takes about .* the downtime goal is'
with=(--stun-limit 1 --max-downtime 20 --compression off --delta off)
inject() { godwit lab exec h1 -- tc qdisc add dev eth-mig root tbf rate 16mbit burst 32kb latency 50ms; }
heal() { godwit lab exec h1 -- tc qdisc del dev eth-mig root; }
