#!/bin/sh
# readme.sh DIR: README's first program, built by every line that README offers, starts and listens.
set -eu
unset MAKEFLAGS MFLAGS MAKELEVEL
top=$(cd "$(dirname "$0")/../.." && pwd)
rm -rf "$1"
mkdir -p "$1/third_party"
cd "$1"
cp "$top/azchan.h" .
cp "$top/azchan.h" third_party

# block LANGUAGE: the first of README's blocks in it.
block() { awk -v start="^\`\`\`$1\$" '$0 ~ start { on = 1; next } on && /^```/ { exit } on' "$top/README.md"; }
# serves COMMAND...: it listens, wherever the kernel lets it, and says so.
serves() {
    "$@" >said &
    pid=$!
    tries=200
    until [ -s said ] || [ $((tries -= 1)) = 0 ]; do sleep 0.05; done
    kill $pid
    wait $pid 2>/dev/null || true
    grep -q http said || { echo "readme: $built: it does not serve"; exit 1; }
    echo "readme: $built"
}

block c | sed 's/config.port = 4000/config.port = 0/' >app.c
grep -q 'config.port = 0;' app.c
sed -n '/^## In your build/,/^## Limits/s/^    \([a-z].*app\.c.*\)/\1/p' "$top/README.md" >lines
[ "$(wc -l <lines)" = 2 ]
while read -r built; do
    rm -f app
    $built -Wall -Wextra -Werror
    case $built in arm*) serves qemu-arm-static ./app ;; *) serves ./app ;; esac
done <lines

rm -f app azchan.h # from here on third_party has it
built="two lines in a Makefile"
{ printf 'app: app.o\n\t$(CC) $(LDFLAGS) $^ -o $@\n'; block make; } >Makefile
make -s
serves ./app
built="two lines in a CMakeLists.txt"
{ printf 'cmake_minimum_required(VERSION 3.10)\nproject(app C)\nadd_executable(app app.c)\n'
  block cmake; } >CMakeLists.txt
cmake -S . -B made >cmake.log && cmake --build made >>cmake.log || { cat cmake.log; exit 1; }
serves made/app
