# Compare the lines that gcovr found not run with those in tests/uncovered.
#     awk -f tests/uncovered.awk gcovr's-report azchan.h tests/uncovered
FNR == 1 { file++ }

file == 1 && $1 == "azchan.h" {
    for (n = split($5, ranges, ","); n > 0; n--) {
        last = split(ranges[n], ends, "-")
        for (i = ends[1]; i <= ends[last]; i++) missed[i + 0]
    }
}

file == 2 && /^(static|AZC_API)[^;]*\(/ {
    name = $0
    sub(/\(.*/, "", name)
    sub(/.*[ *]/, "", name)
}

file == 2 && FNR in missed {
    line = $0
    sub(/^ +/, "", line)
    left[name ": " line] = FNR
}

file == 3 && NF && !/^#/ && !($0 in left) {
    print "tests/uncovered: the line is run or gone: " $0
    bad = 1
}

file == 3 { delete left[$0] }

END {
    for (key in left) {
        print "azchan.h:" left[key] ": not run, and not in tests/uncovered: " key
        bad = 1
    }
    exit bad
}
