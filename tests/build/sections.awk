# awk -f sections.awk azchan.h lines-of-one.txt lines-of-another.txt ...
# Bytes of code in each section of azchan.h, one column for each output of
# `objdump --dwarf=decodedline`. Inlined code counts in the section where it is written.
function hex(s,    i, v) {
    for (i = s ~ /^0x/ ? 3 : 1; i <= length(s); i++)
        v = v * 16 + index("123456789abcdef", substr(s, i, 1))
    return v
}

FNR == 1 { file++ }

file == 1 {
    if (match($0, /==== \[[0-9]+\] [A-Z0-9_]+/)) name[++sections] = substr($0, RSTART + 5, RLENGTH - 5)
    section[FNR] = sections
    next
}

# FILE LINE ADDRESS ...: of several rows with one address, the last one has the instruction.
NF >= 3 && ($2 ~ /^[0-9]+$/ || $2 == "-") && $3 ~ /^(0x[0-9a-f]+|0)$/ {
    at = hex($3)
    if (here != "" && at > from[file]) bytes[here, file] += at - from[file]
    from[file] = at
    if ($2 == "-") here = ""
    else if ($1 ~ /azchan\.h/) here = section[$2] # else: inlined from a system header
}

END {
    for (i = 1; i <= sections; i++) {
        row = ""
        for (f = 2; f <= file; f++) row = row sprintf("%9d", bytes[i, f])
        if (row ~ /[1-9]/) printf "  %-32s%s\n", name[i], row
    }
}
