/* UTF-8 as it arrives (RFC 3629) against a reference by definition. Input: a seed for the cuts, an
 * alignment, then the bytes. */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include "fuzz.h"

int FUZZ_TARGET(const uint8_t *data, size_t size);

static int utf8_told(uint32_t state) { return state == 0 ? 1 : state == AZC__UTF8_BAD ? -1 : 0; }

int FUZZ_TARGET(const uint8_t *data, size_t size) {
    fuzz_input in = {data, data + size};
    fuzz_cuts cuts = fuzz_cuts_from(fuzz_byte(&in));
    size_t offset = fuzz_byte(&in) & 15, n = fuzz_left(&in), good = 0;
    uint8_t *block = (uint8_t *)calloc(offset + n + !(offset + n), 1), *p = block + offset;
    if (block == NULL) abort();
    if (n > 0) memcpy(p, in.p, n);

    int whole = fuzz_text(p, n, &good);
    FUZZ_CHECK(utf8_told(azc__utf8(0, p, n)) == whole);
    FUZZ_CHECK(azc__utf8_valid(p, n) == (whole == 1));

    /* In cuts: after each piece compare with the reference, and a bad byte stays bad. */
    uint32_t state = 0;
    for (size_t at = 0; at < n;) {
        size_t piece = fuzz_cut(&cuts, n - at);
        state = azc__utf8(state, p + at, piece);
        at += piece;
        int part = at <= good ? fuzz_text(p, at, NULL) : fuzz_text(p + good, at - good, NULL);
        FUZZ_CHECK(utf8_told(state) == part);
        FUZZ_CHECK(state == azc__utf8(0, p, at));
    }

    /* Characters come back from their code points as they were. */
    for (size_t at = 0; at < good;) {
        uint32_t code = 0;
        char out[4];
        size_t k = (size_t)fuzz_utf8_char(p + at, good - at, &code);
        FUZZ_CHECK(azc__utf8_write(out, (long)code) == k && memcmp(out, p + at, k) == 0);
        at += k;
    }
    size_t run = 0;
    while (run < n && p[run] < 0x80) run++;
    FUZZ_CHECK(azc__ascii_run(p, n) == run);
    free(block);
    return 0;
}
