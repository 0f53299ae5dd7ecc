/* The reader's verdict on many documents, for json_node.mjs. On stdin per document four bytes of
 * length (lowest first) and its bytes; on stdout per document a byte and four of length: 0 refused,
 * the length being the bad byte's offset; or 1 and what the writer makes of it; or 2, the same, but
 * a name holds a NUL and what is written is cut there. */
#define FUZZ_TARGET fuzz_json
#include "fuzz_json.c"

static int take_length(size_t *n) {
    unsigned char p[4];
    if (fread(p, 1, 4, stdin) != 4) return 0;
    *n = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    return 1;
}

static void answer(int verdict, size_t n, const char *bytes) {
    unsigned char head[5] = {(unsigned char)verdict, (unsigned char)n, (unsigned char)(n >> 8),
                             (unsigned char)(n >> 16), (unsigned char)(n >> 24)};
    fwrite(head, 1, sizeof head, stdout);
    if (verdict > 0) fwrite(bytes, 1, n, stdout);
}

int main(void) {
    for (size_t n; take_length(&n);) {
        char *text = (char *)malloc(n + 1), *out = (char *)malloc(n * 6 + 64);
        azc_json doc;
        if (text == NULL || out == NULL || fread(text, 1, n, stdin) != n) return 1;
        if (azc_json_read(&doc, text, n) != AZC_OK) {
            answer(0, doc.len, "");
        } else {
            azc_writer w = azc_put_begin(out, n * 6 + 64);
            int whole = json_rewrite(&w, NULL, doc);
            if (azc_put_finish(&w) != AZC_OK) return 1;
            answer(whole ? 1 : 2, w.len, w.text);
        }
        free(text);
        free(out);
    }
    return fflush(stdout) != 0;
}
