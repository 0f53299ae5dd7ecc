# awk -f order.awk azchan.h azchan.h: fails if a function calls one of a later section, or if more than
# 12 #if lines stand inside functions. (Optional parts are reached through pointers, which are not
# calls of their functions.)
FNR == 1 { pass++; section = 0; body = 0 }
match($0, /^\/\* ==== \[[0-9]+\] [A-Z0-9_]+/) {
    section = substr($0, 10, RLENGTH - 9)
    number = section + 0
    sub(/^[0-9]+\] /, "", section)
}
/^#if/ && body && pass == 2 { islands++ }
/^(static|AZC_API)/ { head = "" }
/^(static|AZC_API)/ || (head != "" && !body) { head = head $0 }
head != "" && /\{$/ && !body {
    name = head
    sub(/\(.*/, "", name)
    sub(/.*[ *]/, "", name)
    if (pass == 1) { home[name] = number; title[name] = section }
    body = 1
    head = ""
    next
}
head != "" && (/;$/ || /\}$/) && !body {
    if (/\}$/) {
        name = head
        sub(/\(.*/, "", name)
        sub(/.*[ *]/, "", name)
        if (pass == 1) { home[name] = number; title[name] = section }
    }
    head = ""
}
/^\}/ { body = 0; head = "" }
pass == 2 && body {
    line = $0
    sub(/\/\*.*/, "", line)
    while (match(line, /azc_[a-z0-9_]+\(/)) {
        called = substr(line, RSTART, RLENGTH - 1)
        if (home[called] > number) {
            print "azchan.h:" FNR ": " name " of " section " calls " called " of " title[called]
            bad = 1
        }
        line = substr(line, RSTART + RLENGTH)
    }
}
END {
    print "order: " islands + 0 " #if lines inside functions"
    exit bad || islands > 12
}
