#!/bin/sh
# readme.sh DIR: README's programs, built by each command and build file that README shows, listen,
# print their address and end at SIGTERM.
set -eu
unset MAKEFLAGS MFLAGS MAKELEVEL
top=$(cd "$(dirname "$0")/../.." && pwd)
rm -rf "$1"
mkdir -p "$1/third_party"
cd "$1"
cp "$top/azchan.h" .
cp "$top/azchan.h" third_party

fail() {
    echo "readme: $built: $1"
    exit 1
}
# block LANGUAGE: the first block of README in LANGUAGE.
block() {
    awk -v start="^\`\`\`$1$" '$0 ~ start { on = 1; next } on && /^```/ { exit } on' "$top/README.md"
}
# program [changed=1]: README's program, or the changed one, at any free port.
program() {
    awk ${1:+-v $1} -f "$top/tests/build/readme.awk" "$top/README.md" >app.txt
    grep -q 'config.port = 4000;' app.txt
    sed 's/config.port = 4000/config.port = 0/' app.txt >app.c
}
# listens PID: one of its descriptors is a TCP socket in state 0A, LISTEN. Sets port.
listens() {
    for inode in $(ls -l "/proc/$1/fd" 2>/dev/null | sed -n 's/.*socket:\[\([0-9]*\)\]$/\1/p'); do
        port=$(sed -n "s/^ *[0-9]*: [0-9A-F]*:\([0-9A-F]*\) [0-9A-F:]* 0A .* $inode .*/\1/p" \
            /proc/net/tcp)
        [ -z "$port" ] || { port=$((0x$port)); return; }
    done
    return 1
}
# serves ADDRESS COMMAND...: the program prints ADDRESS, in which PORT stands for its port. Its output
# is a file, so that comes when it ends.
serves() {
    address=$1
    shift
    "$@" >said 2>errors &
    pid=$!
    tries=200
    until listens $pid || [ $((tries -= 1)) = 0 ]; do sleep 0.05; done
    [ $tries != 0 ] || { kill $pid; cat errors; fail "does not listen"; }
    kill $pid
    wait $pid || fail "ends with status $? at SIGTERM"
    address=$(echo "$address" | sed "s/PORT/$port/")
    [ "$(cat said)" = "$address" ] || fail "does not print $address alone"
    echo "readme: $built"
}
echo=ws://127.0.0.1:PORT/echo chat=http://127.0.0.1:PORT/

# plain: lines of code without comments and spaces.
plain() { sed 's|/\*.*\*/||; s|  *// .*||; s/ //g; /^$/d'; }
built="the manual's quick start"
awk '/^   QUICK START$/ { on = 1; next } on && /^   [^ ]/ { exit } on' azchan.h | plain >manual
block c | plain >first
cmp -s first manual || { diff first manual || true; fail "differs from README's first program"; }

program
sed -n '/^## In your build/,/^## Limits/s/^    \([a-z].*app\.c.*\)/\1/p' "$top/README.md" >lines
[ "$(wc -l <lines)" = 2 ]
while read -r built; do
    rm -f app
    $built -Wall -Wextra -Werror
    case $built in
        arm*) serves $echo qemu-arm-static ./app ;;
        *) serves $echo ./app ;;
    esac
done <lines

built="the changed program"
program changed=1
cc -Wall -Wextra -Werror app.c -o app
serves $chat ./app

program
rm -f app azchan.h # from here on third_party has it
built="two lines in a Makefile"
{
    printf 'app: app.o\n\t$(CC) $(LDFLAGS) $^ -o $@\n'
    block make
} >Makefile
make -s
serves $echo ./app
built="two lines in a CMakeLists.txt"
{
    printf 'cmake_minimum_required(VERSION 3.10)\nproject(app C)\nadd_executable(app app.c)\n'
    block cmake
} >CMakeLists.txt
cmake -S . -B made >cmake.log && cmake --build made >>cmake.log || { cat cmake.log; exit 1; }
serves $echo made/app
