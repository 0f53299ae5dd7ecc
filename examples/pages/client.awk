# client.awk: a script as the C strings that azchan.h carries, between two marker comments there,
# without comments and indentation. `make pages` runs
#
#     awk -v name=client -f client.awk azchan.js azchan.h >new-azchan.h
#
# and the same for azlive.js. A new string begins before 4095 bytes, which is all that C99 promises.
# The tag is two polynomials of the text.
BEGIN {
    for (i = 1; i < 128; i++) code[sprintf("%c", i)] = i
    tag1 = tag2 = 7
    script = ARGV[1]
    sub(/.*\//, "", script)
}

# JavaScript: comments that span lines begin and end lines, and // has a space before it.
FNR == NR {
    if (inside || /^ *\/\*/) {
        inside = !/\*\/ *$/
        next
    }
    gsub(/ *\/\*[^*]*\*\//, "")
    sub(/(^| +)\/\/ .*/, "")
    sub(/^ +/, "")
    if ($0 == "") next
    for (i = 1; i <= length($0); i++) {
        if (!((c = substr($0, i, 1)) in code)) exit bad = 1
        tag1 = (tag1 * 31 + code[c]) % 2147483647
        tag2 = (tag2 * 257 + code[c]) % 2147483629
    }
    len += length($0) + 1
    part += length($0) + 1
    if (part > 4000) {
        out = out ",\n"
        part = length($0) + 1
    } else if (out != "") out = out "\n"
    gsub(/\\/, "&&")
    gsub(/"/, "\\\"")
    gsub(/\?\?/, "?\\?") # no trigraphs
    out = out "    \"" $0 "\\n\""
    next
}

index($0, "/* END " script " ") == 1 {
    copied = 0
    done++
    printf "#define AZC__%s_TAG \"\\\"%x%x\\\"\"\n", toupper(name), tag1, tag2
    printf "enum { AZC__%s_LEN = %d };\n", toupper(name), len
    printf "static const char *const azc__%s_script[] = {\n%s};\n", tolower(name), out
}
!copied
index($0, "/* BEGIN " script ":") == 1 { copied = 1 }
END { exit bad || done != 1 }
