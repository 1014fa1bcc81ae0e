#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A console on a terminal: what is typed reaches the guest, what the guest says while it moves is shown, each line once and in order, typing goes on where
# it runs then, and the terminal is left as it was.
. "$(dirname "$0")/../functions.sh" "$1"
lab_up --hosts 2
linux_vm web h1 256 1 "gw.shell gw.work=32:20"
screen=$lab_dir/screen keys=$lab_dir/keys
mkfifo "$keys"
# attach: a terminal of its own, with `stty` before and after it
attach() {
    script -qefc 'stty -a >'"$lab_dir"'/before; godwit vm console web; echo "left $?"; stty -a >'"$lab_dir"'/after' "$screen" <"$keys" >/dev/null &
    terminal=$!
    exec 3>"$keys"
    on_exit "kill $terminal 2>/dev/null || true"
    wait_until 20 "the console" shows "Leave it with Ctrl-]"
}
shows() { grep -aq -- "$1" "$screen"; }
shows_alone() { tr -d '\r' <"$screen" | grep -aqx -- "$1"; }
attach
printf 'echo si""x-times-$((6 * 7))\r' >&3
wait_until 20 "the answer of the guest's shell" shows_alone "six-times-42"

say "a loop in the guest counts while it moves there and back"
printf 'i=0; while [ $i -lt 400 ]; do i=$((i + 1)); echo "at $i."; usleep 50000; done; echo "count""ed"\r' >&3
wait_until 20 "the first lines" shows_alone "at 5\."
migrate web h2 >/dev/null || fail "the move"
# While it counts, this waits in the guest's terminal.
printf 'echo af""ter-the-move\r' >&3
migrate web h1 >/dev/null || fail "the move back"
wait_until 90 "the end of the loop" shows_alone "counted"
# What the command says of the move stands in the middle of a line, if the guest stopped there.
sed -z 's/\r\n\[VM web is on host h[12] now\]\r\n//g' "$screen" | tr -d '\r' | grep -ao '^at [0-9]*\.$' | grep -o '[0-9]*' >"$lab_dir/seen"
seq 400 | cmp - "$lab_dir/seen" || fail "lines are missing, twice or in disorder: $(diff <(seq 400) "$lab_dir/seen" | head -n 5)"
wait_until 20 "what was typed in between" shows_alone "after-the-move"
shows "VM web is on host h2 now" || fail "nothing says that the VM moved"

say "Ctrl-D goes to the guest, Ctrl-] leaves"
# A program that reads has the terminal some time after the shell has let go of it, so each is typed until it is seen.
printf 'echo ne""xt; cat\r' >&3
wait_until 20 "the program" shows_alone "next"
is_copied() { printf 'line\r' >&3 && [ "$(tr -d '\r' <"$screen" | grep -acx line)" -ge 2 ]; }
wait_until 20 "the program to read" is_copied
printf '\004' >&3
is_back() { printf 'echo in""terrupted\r' >&3 && shows_alone "interrupted"; }
wait_until 20 "the shell after Ctrl-D" is_back
printf '\035' >&3
wait_until 20 "the end of the console" shows "left 0"
wait "$terminal"
exec 3>&-
cmp "$lab_dir/before" "$lab_dir/after" || fail "the terminal was not left as it was"

say "a line is typed without a terminal; a guest that is off takes none"
godwit vm console web --type 'echo by-""script'
wait_until 20 "the line of a script" console_has web "by-script"
godwit vm stop web --force
expect_error vm-is-off godwit vm console web --type x
