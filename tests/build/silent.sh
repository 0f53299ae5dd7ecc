#!/bin/sh
# silent.sh ROW DIR: part.c at every optimisation, in two translation units, compiles and links
# without a word, and runs. A row is one compiler with one standard.
#
# The set covers: each compiler meets each of its standards with each optimisation, on which most
# warnings depend. The other switches turn with the row (8 and up are C++) and with the optimisation
# (0 to 4), so that every two values of any two of them meet somewhere, and each meets
# every standard of every compiler and every optimisation. Nothing hangs on three of them at once.
set -eu
row=$1 out=$2
pick() { shift "$1"; echo "$2"; } # the nth, from 0
std=$(pick "$row" c99 c11 c17 gnu17 c99 c11 c17 gnu17 c++11 c++17 c++20 c++11 c++17 c++20)
cc=$(pick "$row" gcc gcc gcc gcc clang clang clang clang g++ g++ g++ clang++ clang++ clang++)
strict="-Wall -Wextra -pedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-align -Wcast-qual
    -Wundef -Wvla -Wdouble-promotion -Wformat=2 -Wnull-dereference -Wswitch-enum -Werror"
case $std in
    c++*) strict="$strict -x c++" ;;
    *) strict="$strict -x c -Wstrict-prototypes -Wmissing-prototypes" ;;
esac

# Everything clang 14 has, less what would have us write otherwise for its own sake:
#   padded                          structs are laid out for use, holes are no fault
#   comma                           short steps of one thought stand on one line
#   declaration-after-statement     this is C99
#   c++98-compat-pedantic           C++11 is the oldest that is promised
#   old-style-cast, zero-as-null-pointer-constant
#                                   C++ has to take what is C first
#   reserved-identifier             azc__ is our private prefix, _DEFAULT_SOURCE is libc's own switch
#   reserved-macro-identifier       the same
#   unused-macros                   guards against a second include are there to be unused
#   used-but-marked-unused          AZCHAN_STATIC's functions may be unused, and are used
case $cc in clang*) strict="$strict -Weverything -Wno-padded -Wno-comma -Wno-unused-macros
    -Wno-declaration-after-statement -Wno-c++98-compat-pedantic -Wno-old-style-cast
    -Wno-zero-as-null-pointer-constant -Wno-reserved-identifier -Wno-reserved-macro-identifier
    -Wno-used-but-marked-unused" ;;
esac

build() { # FLAGS
    for part in 1 2; do
        $cc -std="$std" $1 $strict -DPART=$part -c tests/build/part.c -o "$out/$part.o" || return 1
    done
    $cc $1 "$out/1.o" "$out/2.o" -o "$out/part" && "$out/part"
}
o=0
for opt in -O0 -Os -O2 -O3 "-O2 -flto"; do
    flags=
    [ $(((row + o) % 2)) = 0 ] || flags="$flags -DNDEBUG"
    [ $(((row / 2 + o) % 2)) = 0 ] || flags="$flags -DAZCHAN_STATIC"
    flags="$flags $(pick $(((row + 2 * o) % 3)) "" -DAZCHAN_USE_EPOLL -DAZCHAN_CORE)"
    flags="$flags $(pick $(((row + o) % 3)) "" -funsigned-char -fsigned-char)"
    [ "$row" -lt 8 ] || [ $(((row + o / 2) % 2)) = 0 ] || flags="$flags -fno-exceptions"
    build "$opt $flags" >"$out/log" 2>&1 && [ ! -s "$out/log" ] ||
        { cat "$out/log"; echo "silent: not $cc -std=$std $opt $flags"; exit 1; }
    o=$((o + 1))
done
echo "silent: $cc -std=$std, at -O0 -Os -O2 -O3 -flto"
