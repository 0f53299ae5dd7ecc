# page.awk: a file as a C array that a program can serve. `make pages` runs, for each page:
#
#     od -An -v -tu1 chat.html | awk -v name=chat_page -f page.awk >chat_page.h
#
# od prints the bytes as decimal numbers, so that any file works, with any awk and in any locale.
BEGIN {
    print "/* A page as an array of its bytes, made by page.awk: edit the page, not this file. */"
    print "static const unsigned char " name "[] = {"
}

{
    for (i = 1; i <= NF; i++) {
        if (length(line) + length($i) >= 99) {
            print line
            line = ""
        }
        line = line $i ","
    }
}

END {
    if (line == "") exit 1 # an array must not be empty
    print line "\n};"
}
