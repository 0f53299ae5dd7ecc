#!/bin/sh
# orders.sh: the implementation included after each system header, after all of them in two orders,
# and after each feature macro that a project may set. If POSIX is visible then, it compiles without a
# warning; if it is too late to ask libc for it, our #error is the first error.
set -eu
cd "$(dirname "$0")/../.."
words="POSIX is hidden"
headers="$(sed -n '/\[2\] PLATFORM/,/\[3\]/s/^#include <\(.*\)>.*/\1/p' azchan.h)
    ctype.h dirent.h inttypes.h locale.h math.h netdb.h pthread.h setjmp.h signal.h stddef.h
    sys/ioctl.h sys/mman.h sys/time.h sys/types.h sys/wait.h"
failed=0

# may STATUS COMPILER...: compile stdin. STATUS: "whole", or "hidden" if the #error will do.
may() {
    status=$1
    shift
    said=$("$@" -Wall -Wextra -pedantic -Werror -I. -fsyntax-only - 2>&1) && [ -z "$said" ] && return
    first=$(echo "$said" | grep -m1 'error:' || echo "$said")
    case $status$first in hidden*"$words"*) return ;; esac
    echo "orders: $*: after '$given':"
    echo "$first"
    failed=1
}

# after STATUS TEXT: TEXT, then the implementation; STATUS for the GNU standards.
after() {
    given=$2
    { printf '%b\n' "$2"; echo '#define AZCHAN_IMPLEMENTATION'; echo '#include "azchan.h"'; } >"$file"
    may "$1" gcc -std=gnu17 -x c <"$file"
    may "$1" clang++ -std=c++17 -x c++ <"$file"
    may hidden gcc -std=c99 -x c <"$file"
    may hidden musl-gcc -std=c99 -x c <"$file"
}

file=$(mktemp)
trap 'rm -f "$file"' EXIT
all= back=
for h in $headers; do
    after whole "#include <$h>"
    all="$all#include <$h>\\n"
    back="#include <$h>\\n$back"
done
after whole "$all"
after whole "$back"
# Systems that lack what others have.
after whole '#include <netinet/in.h>\n#undef IPV6_V6ONLY'
after whole '#include <sys/file.h>\n#undef LOCK_EX'
after whole '#include <sys/socket.h>\n#undef SOCK_CLOEXEC'
given="(no __linux__, as on GNU/Hurd)" # azchan.h is first, so nothing may be hidden
printf '#define AZCHAN_IMPLEMENTATION\n#include "azchan.h"\n' >"$file"
for std in c99 gnu17; do may whole gcc -U__linux__ -std=$std -x c <"$file"; done
given="(no __atomic builtins, as in pcc)"
for std in c99 gnu17; do may whole gcc -U__ATOMIC_ACQUIRE -std=$std -x c <"$file"; done
given="(an int msg_iovlen, as in musl)"
may whole musl-gcc -std=c99 -Wconversion -Wsign-conversion -x c <"$file"
for macro in _POSIX_SOURCE '_POSIX_C_SOURCE 199309L' '_POSIX_C_SOURCE 200112L' \
    '_POSIX_C_SOURCE 200809L' '_XOPEN_SOURCE 500' '_XOPEN_SOURCE 700' _GNU_SOURCE _DEFAULT_SOURCE; do
    given="$macro, first"
    printf '#define %s\n#define AZCHAN_IMPLEMENTATION\n#include "azchan.h"\n' "$macro" >"$file"
    for std in c99 c17 gnu17; do
        may whole gcc -std=$std -x c <"$file"
        may whole musl-gcc -std=$std -x c <"$file"
    done
    after hidden "#ifndef ${macro%% *}\\n#define $macro\\n#endif\\n#include <stdio.h>"
done
exit $failed
