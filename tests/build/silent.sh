#!/bin/sh
# silent.sh ROW DIR: part.c, in two translation units, compiles and links without a warning, and
# runs. A row is one compiler with one standard; rows from 8 on are C++.
#
# Most warnings depend on the compiler, the standard and the optimisation. The first rows of gcc and
# clang have every optimisation, the others one each. LONG=1 builds every combination: the other
# switches change with the row and the optimisation, so that then any two values of any two switches
# meet in some build. No code depends on three switches at once.
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

# Every warning of clang 14, except those that only ask for another style:
#   padded                          fields are in the order of their meaning
#   comma                           short steps that belong together share a line
#   disabled-macro-expansion        glibc's sa_handler is a macro that contains its own name
#   declaration-after-statement     this is C99
#   c++98-compat-pedantic           C++11 is the oldest supported
#   old-style-cast, zero-as-null-pointer-constant
#                                   the code is C first
#   reserved-identifier             azc__ is our private prefix, _DEFAULT_SOURCE is libc's own switch
#   reserved-macro-identifier       the same
#   unused-macros                   guards against a second include are never used
#   used-but-marked-unused          AZCHAN_STATIC's functions may be unused; some are used
case $cc in clang*) strict="$strict -Weverything -Wno-padded -Wno-comma -Wno-unused-macros
    -Wno-disabled-macro-expansion -Wno-declaration-after-statement -Wno-c++98-compat-pedantic
    -Wno-old-style-cast -Wno-zero-as-null-pointer-constant -Wno-reserved-identifier
    -Wno-reserved-macro-identifier -Wno-used-but-marked-unused" ;;
esac

build() { # FLAGS
    for part in 1 2; do
        $cc -std="$std" $1 $strict -DPART=$part -c tests/build/part.c -o "$out/$part.o" || return 1
    done
    $cc $1 "$out/1.o" "$out/2.o" -o "$out/part" && "$out/part"
}
case $row in 0 | 4) every=1 ;; *) every=${LONG-} ;; esac
o=0 built=
for opt in -O0 -Os -O2 -O3 "-O2 -flto"; do
    [ -n "$every" ] || [ $((row % 5)) = $o ] || { o=$((o + 1)); continue; }
    flags=
    [ $(((row + o) % 2)) = 0 ] || flags="$flags -DNDEBUG"
    [ $(((row / 2 + o) % 2)) = 0 ] || flags="$flags -DAZCHAN_STATIC"
    flags="$flags $(pick $(((row + 2 * o) % 3)) "" -DAZCHAN_USE_EPOLL -DAZCHAN_SMALL=1)"
    flags="$flags $(pick $(((row + o) % 3)) "" -funsigned-char -fsigned-char)"
    [ "$row" -lt 8 ] || [ $(((row + o / 2) % 2)) = 0 ] || flags="$flags -fno-exceptions"
    build "$opt $flags" >"$out/log" 2>&1 && [ ! -s "$out/log" ] ||
        { cat "$out/log"; echo "silent: FAILED: $cc -std=$std $opt $flags"; exit 1; }
    built="$built $opt"
    o=$((o + 1))
done
echo "silent: $cc -std=$std, at$built"
