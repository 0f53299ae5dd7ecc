#!/bin/sh
# run.sh PROGRAM...: run the test programs one after the other and add up their counts; the last
# line is "N passed, N failed". A program that crashes, or exits with an error after its tests
# passed (a leak, an error that valgrind found), counts as one failed test. $TEST_RUN may name a
# program to run them with.
passed=0 failed=0
for program; do
    { $TEST_RUN "$program"; echo $? >"$program.status"; } | tee "$program.log"
    status=$(cat "$program.status")
    counts=$(sed -n 's/.*: \([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$program.log" | tail -1)
    [ -n "$counts" ] || { echo "$program: ended without its counts"; counts="0 1"; }
    passed=$((passed + ${counts% *})) failed=$((failed + ${counts#* }))
    if [ "$status" != 0 ] && [ "${counts#* }" = 0 ]; then
        echo "$program: exit status $status"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
