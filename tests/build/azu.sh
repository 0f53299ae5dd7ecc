#!/bin/sh
# azu.sh DIR: each C block of examples/azu.md compiles without a warning, and its channels are
# accepted by a server that listens. See azu.awk. Needs cc, awk and sh.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
rm -f "$1"/*
awk -v dir="$1" -f "$top/tests/build/azu.awk" "$top/examples/azu.md" >"$1/headings"

# Every fence that opens a C block is one of those that azu.awk took.
blocks=$(grep -c '^ *```c' "$top/examples/azu.md")
[ "$blocks" = "$(grep -c '^```c$' "$top/examples/azu.md")" ]

number=0
while read -r heading; do
    number=$((number + 1))
    program=$1/$number
    ${CC:-cc} -std=c99 -Wall -Wextra -Werror -I"$top" "$program.c" -o "$program" || {
        echo "azu.md: $heading: does not compile, see $program.c"
        exit 1
    }
    grep -q azc_listen "$program.c" || continue # its main is the document's, and runs until Ctrl-C
    "$program" || { echo "azu.md: $heading: does not listen"; exit 1; }
done <"$1/headings"
echo "azu.md: $blocks blocks compile, as $number programs"
