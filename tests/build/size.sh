#!/bin/sh
# size.sh DIR [check | write]: the bytes that azchan.h takes. check fails past these limits, and when
# the whole header grew by more than 3 % over tests/build/sizes; write records that figure.
# max_echo: text of examples/echo.c, linked with what it calls; raised on purpose. It was 30,437 at
# first, 36,313 after the fixes of what the field found, 45,411 with a log and words for errors, and
# 46,211 with the places in the core where requests wait for a body, or for the rest of an answer.
max_echo=46400
max_chat=147456 max_resident=400    # examples/chat.c: bytes of its file, and KiB resident when idle
set -eu
out=$1 mode=${2-}
sizes=tests/build/sizes
mkdir -p "$out"
tables=-fno-asynchronous-unwind-tables # C does not need them; one row below has them
sections="-DAZCHAN_STATIC -ffunction-sections -Wl,--gc-sections"
x86=gcc arm="arm-linux-gnueabihf-gcc -mthumb"

text() { size "$1" | awk 'NR == 2 { print $1 }'; } # what `size` calls text: code and constants
whole() { # COMPILER FLAGS: the whole header
    $1 -std=c99 -Os $2 -DAZCHAN_IMPLEMENTATION -x c -c azchan.h -o "$out/size.o"
    text "$out/size.o"
}
program() { # NAME COMPILER: an example with the functions that it calls
    $2 -std=c99 -Os $tables $sections -I. "examples/$1.c" -o "$out/$1"
    text "$out/$1"
}
row() { printf '%-34s%9s%9s\n' "$1" "$2" "$3"; }

whole_x86=$(whole "$x86" $tables)
whole_arm=$(whole "$arm" $tables)
if [ "$mode" = write ]; then
    printf 'x86-64 %d\nThumb-2 %d\n' "$whole_x86" "$whole_arm" | tee "$sizes"
    exit
fi
echo_x86=$(program echo "$x86")
row "bytes of text, gcc -Os" x86-64 Thumb-2
row "examples/echo.c, linked" "$echo_x86" "$(program echo "$arm")"
row "azchan.h, all of it" "$whole_x86" "$whole_arm"
row "  with unwind tables" "$(whole "$x86" "")" "$(whole "$arm" -funwind-tables)"
for machine in x86 arm; do
    eval "cc=\$$machine"
    $cc -std=c99 -Os -g1 $tables -DAZCHAN_IMPLEMENTATION -x c -c azchan.h -o "$out/$machine.o"
    objdump --dwarf=decodedline "$out/$machine.o" >"$out/$machine.lines"
    size -A "$out/$machine.o" | awk '/^\.rodata/ { n += $2 } END { print n }' >"$out/$machine.constants"
done
awk -f tests/build/sections.awk azchan.h "$out/x86.lines" "$out/arm.lines"
row "  constants" "$(cat "$out/x86.constants")" "$(cat "$out/arm.constants")"

# A chat that waits for its first peer.
musl-gcc -std=c99 -Os $tables -static -s $sections -I. examples/chat.c -o "$out/chat"
"$out/chat" 0 >"$out/address" 2>/dev/null &
chat=$!
trap 'kill $chat' EXIT
tries=100
until [ -s "$out/address" ] || [ $((tries -= 1)) = 0 ]; do sleep 0.05; done
sleep 0.2
file=$(wc -c <"$out/chat")
resident=$(awk '/^Rss:/ { print $2 }' /proc/$chat/smaps_rollup)
echo "examples/chat.c, static with musl: $file bytes; idle: $resident KiB resident"

[ "$mode" = check ] || exit 0
failed=0
within() { [ "$2" -le "$3" ] || { echo "size: $1 is $2, over $3"; failed=1; }; }
recorded() { awk -v name="$1" '$1 == name { print int($2 * 1.03) }' "$sizes"; }
within "azchan.h on x86-64 (recorded in $sizes, and 3 %)" "$whole_x86" "$(recorded x86-64)"
within "azchan.h on Thumb-2 (recorded in $sizes, and 3 %)" "$whole_arm" "$(recorded Thumb-2)"
within "examples/echo.c" "$echo_x86" $max_echo
within "examples/chat.c" "$file" $max_chat
within "its resident KiB" "$resident" $max_resident
exit $failed
