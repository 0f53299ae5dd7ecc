# client.awk: azchan.js as the C strings that azchan.h carries, between two marker comments there,
# without comments and indentation. `make pages` runs
#
#     awk -f client.awk azchan.js azchan.h >new-azchan.h
#
# A new string begins before 4095 bytes, which is all that C99 promises. The tag is two polynomials
# of the text.
BEGIN {
    for (i = 1; i < 128; i++) code[sprintf("%c", i)] = i
    tag1 = tag2 = 7
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

/^\/\* END azchan\.js/ {
    copied = 0
    done++
    printf "#define AZC__CLIENT_TAG \"\\\"%x%x\\\"\"\n", tag1, tag2
    print "enum { AZC__CLIENT_LEN = " len " };"
    print "static const char *const azc__client_script[] = {\n" out "};"
}
!copied
/^\/\* BEGIN azchan\.js/ { copied = 1 }
END { exit bad || done != 1 }
