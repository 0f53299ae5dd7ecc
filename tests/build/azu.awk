# azu.awk: the C blocks of examples/azu.md as programs.
#
#     awk -v dir=DIR -f azu.awk azu.md     writes DIR/1.c, DIR/2.c, ...; prints their headings
#
# Each "## " section with a C block is one program. It starts with the blocks that precede the first
# section. A block whose first line is indented belongs in main; all other blocks go above main. A
# section that has no main gets one, which listens and returns.
function finish() {
    if (above == "" && within == "") return
    file = dir "/" ++count ".c"
    printf "%s%s", common, above >file
    if (("\n" above) !~ /\nint main\(/) {
        print "int main(void) {\n    azc_config config = {0};" >file
        print "    azc_server *server = azc_create(&config);" >file
        printf "%s", within >file
        print "    if (azc_listen(server) == AZC_OK) return azc_destroy(server);" >file
        print "    fprintf(stderr, \"%s\\n\", azc_error(server));\n    return 1;\n}" >file
    } else if (within != "") {
        print "a section with both main and lines of main: " heading >"/dev/stderr"
        failed = 1
    }
    close(file)
    print heading
    above = within = ""
}

/^```c$/ { open = 1; first = 1; next }
/^```/ { open = 0; next }
!open && /^## / { finish(); heading = substr($0, 4); next }
!open { next }
first { indented = /^ /; first = 0 }
heading == "" { common = common $0 "\n"; next }
indented { within = within $0 "\n"; next }
{ above = above $0 "\n" }

END {
    finish()
    exit failed || count == 0
}
