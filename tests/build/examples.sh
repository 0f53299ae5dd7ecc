#!/bin/sh
# examples.sh BUILD DIR: each example, with each form of its argument, prints the address at which it
# listens as its only line, and ends at SIGINT.
set -eu
build=$1 out=$2
mkdir -p "$out"
export PASSWORD=examples # or settings prints the one that it makes

fail() {
    echo "examples: FAILED: $name $host: $1"
    cat "$out/said" "$out/errors"
    exit 1
}
# prints HOST PATTERN: PATTERN is a regular expression, without the path of the URL.
prints() {
    host=$1 pattern=$2
    set -- "$host"
    rm -f "$out/said"
    [ "$name" != serial ] || set -- "$host" /dev/null/none # there is no such device
    "$build/$name" "$@" >"$out/said" 2>"$out/errors" </dev/null &
    pid=$!
    tries=100
    until [ -s "$out/said" ] || [ $((tries -= 1)) = 0 ]; do sleep 0.05; done
    kill -INT $pid 2>/dev/null || fail "ended"
    wait $pid || fail "status $? at SIGINT"
    [ "$(wc -l <"$out/said")" = 1 ] || fail "prints not one line"
    grep -qxE "$pattern" "$out/said" || fail "prints not $pattern"
    case $name in cluster | serial) return ;; esac # without Redis or a device they say so
    [ ! -s "$out/errors" ] || fail "prints errors"
}
for file in examples/*.c examples/*.cpp; do
    name=$(basename "${file%.*}")
    [ -x "$build/$name" ] || { echo "examples: $name was not built"; continue; }
    prints 0 '(http|ws)://127.0.0.1:[1-9][0-9]*/.*'
    prints 0.0.0.0:0 '(http|ws)://127.0.0.1:[1-9][0-9]*/.*'
    prints 127.0.0.2:0 '(http|ws)://127.0.0.2:[1-9][0-9]*/.*'
    prints localhost:0 '(http|ws)://127.0.0.1:[1-9][0-9]*/.*'
    prints "unix:$out/socket" "unix:$out/socket"
    [ -e /proc/net/if_inet6 ] || continue
    prints '[::]:0' '(http|ws)://\[::1\]:[1-9][0-9]*/.*'
    prints '[::1]:0' '(http|ws)://\[::1\]:[1-9][0-9]*/.*'
done
echo "examples: each prints its address, for each form of the argument, and ends at SIGINT"
