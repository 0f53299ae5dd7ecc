# readme.awk: a program of README.md.
#
#     awk -f readme.awk README.md                the first C block
#     awk -v changed=1 -f readme.awk README.md   the same, changed by the first diff block
#
# Each line of the diff that starts with a space or a minus must be in the program, in this order.
function insert(line,    i) {
    for (i = ++lines; i > at + 1; i--) program[i] = program[i - 1]
    program[++at] = line
}
function find(line) {
    while (++at <= lines && program[at] != line);
    if (at <= lines) return
    print "README.md: the diff expects this line: " line >"/dev/stderr"
    failed = 1
    exit
}
function drop(    i) {
    for (i = at--; i < lines; i++) program[i] = program[i + 1]
    lines--
}

/^```/ { language = language == "" ? substr($0, 4) : ""; blocks[language]++; next }
language == "c" && blocks["c"] == 1 { program[++lines] = $0 }
language == "diff" && blocks["diff"] == 1 && changed {
    sign = substr($0, 1, 1)
    if (sign == "+") insert(substr($0, 2))
    else find(substr($0, 2))
    if (sign == "-") drop()
}

END {
    if (failed || lines == 0 || (changed && !blocks["diff"])) exit 1
    for (i = 1; i <= lines; i++) print program[i]
}
