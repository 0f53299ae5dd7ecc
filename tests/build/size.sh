#!/bin/sh
# size.sh DIR [check]: what azchan.h takes, in bytes, and with `check` whether it is within these:
max_x86=42500 max_arm=32000         # text of the whole, -Os
core_x86=32768 core_arm=24576       # and of the core: 32 and 24 KiB
max_chat=122880 max_resident=400    # the chat example: bytes of its file, and KiB resident when
                                    # idle
set -eu
out=$1
mkdir -p "$out"
tables=-fno-asynchronous-unwind-tables # which C does not need; the third row has them
x86=gcc arm="arm-linux-gnueabihf-gcc -mthumb"

# text COMPILER FLAGS: what `size` calls text: code and constants.
text() {
    $1 -std=c99 -Os $2 -DAZCHAN_IMPLEMENTATION -x c -c azchan.h -o "$out/size.o"
    size "$out/size.o" | awk 'NR == 2 { print $1 }'
}
row() { printf '%-34s%9s%9s\n' "$1" "$2" "$3"; }

whole_x86=$(text "$x86" $tables)
whole_arm=$(text "$arm" $tables)
small_x86=$(text "$x86" "$tables -DAZCHAN_CORE")
small_arm=$(text "$arm" "$tables -DAZCHAN_CORE")
row "azchan.h, gcc -Os" x86-64 Thumb-2
row "the core (AZCHAN_CORE)" "$small_x86" "$small_arm"
row "the whole" "$whole_x86" "$whole_arm"
row "  and unwind tables" "$(text "$x86" "")" "$(text "$arm" -funwind-tables)"
for machine in x86 arm; do
    eval "cc=\$$machine"
    $cc -std=c99 -Os -g1 $tables -DAZCHAN_IMPLEMENTATION -x c -c azchan.h -o "$out/$machine.o"
    objdump --dwarf=decodedline "$out/$machine.o" >"$out/$machine.lines"
    size -A "$out/$machine.o" | awk '/^\.rodata/ { n += $2 } END { print n }' >"$out/$machine.constants"
done
awk -f tests/build/sections.awk azchan.h "$out/x86.lines" "$out/arm.lines"
row "  constants" "$(cat "$out/x86.constants")" "$(cat "$out/arm.constants")"

# A chat that waits for its first peer, without the functions that it does not call.
musl-gcc -std=c99 -Os $tables -static -s -DAZCHAN_STATIC -ffunction-sections -Wl,--gc-sections \
    -I. examples/chat.c -o "$out/chat"
"$out/chat" 0 >"$out/address" 2>/dev/null &
chat=$!
trap 'kill $chat' EXIT
tries=100
until [ -s "$out/address" ] || [ $((tries -= 1)) = 0 ]; do sleep 0.05; done
sleep 0.2
file=$(wc -c <"$out/chat")
resident=$(awk '/^Rss:/ { print $2 }' /proc/$chat/smaps_rollup)
echo "examples/chat.c with musl, stripped: $file bytes; idle: $resident KiB resident"

[ "${2-}" = check ] || exit 0
failed=0
within() { [ "$2" -le "$3" ] || { echo "size: $1 is $2, over $3"; failed=1; }; }
within "the whole on x86-64" "$whole_x86" $max_x86
within "the whole on Thumb-2" "$whole_arm" $max_arm
within "the core on x86-64" "$small_x86" $core_x86
within "the core on Thumb-2" "$small_arm" $core_arm
within "chat" "$file" $max_chat
within "chat's resident KiB" "$resident" $max_resident
exit $failed
