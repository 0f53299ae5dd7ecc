/* UTF8: RFC 3629 sections 3 and 4, exhaustively where that is possible. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"

/* ---- The reference: the definition by values, without a table of bytes ----------------------- */

/* One character at p: 1 whole, 0 unfinished so far, -1 such that no bytes behind can save it. */
static int wanted_char(const unsigned char *p, size_t n, size_t *size) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    *size = p[0] < 0x80 ? 1 : (p[0] & 0xE0) == 0xC0 ? 2 : (p[0] & 0xF0) == 0xE0 ? 3
            : (p[0] & 0xF8) == 0xF0 ? 4 : 0;
    if (*size == 0) return -1;
    uint32_t low = p[0] & (*size == 1 ? 0x7Fu : 0x7Fu >> *size), high = low;
    for (size_t i = 1; i < *size; i++) {
        if (i < n && (p[i] & 0xC0) != 0x80) return -1;
        low = low * 64 + (i < n ? p[i] & 63u : 0);
        high = high * 64 + (i < n ? p[i] & 63u : 63);
    }
    if (low < least[*size]) low = least[*size];
    if (high > 0x10FFFF) high = 0x10FFFF;
    if (low > high || (low >= 0xD800 && high <= 0xDFFF)) return -1;
    return n >= *size;
}

/* The same for a string. */
static int wanted(const unsigned char *p, size_t n) {
    int result = 1;
    for (size_t size; n > 0 && result > 0; p += size, n -= size) {
        result = wanted_char(p, n, &size);
        if (result < 1) break;
    }
    return result;
}

static int told(uint32_t state) { return state == 0 ? 1 : state == AZC__UTF8_BAD ? -1 : 0; }

/* The decoder agrees on each prefix of p, whatever the cuts. */
static void compare(const unsigned char *p, size_t n) {
    uint32_t state = 0;
    int ok = 1;
    for (size_t i = 0; i <= n; i++) {
        const unsigned char *q = (const unsigned char *)placed(p, i);
        int want = wanted(p, i);
        ok &= told(azc__utf8(0, q, i)) == want;
        ok &= azc__utf8_valid(q, i) == (want == 1);
        ok &= told(state) == want;
        for (size_t cut = 0; cut <= i; cut++)
            ok &= told(azc__utf8(azc__utf8(0, q, cut), q + cut, i - cut)) == want;
        if (i < n) state = azc__utf8(state, (const unsigned char *)placed(p + i, 1), 1);
    }
    if (!CHECK(ok)) {
        printf("    for");
        for (size_t i = 0; i < n; i++) printf(" %02x", p[i]);
        printf("\n");
    }
}

/* Byte by byte, with the result of each prefix. Returns whether all were right. */
static int steps_agree(const unsigned char *p, size_t n) {
    uint32_t state = 0;
    for (size_t i = 0; i < n; i++) {
        state = azc__utf8(state, p + i, 1);
        if (told(state) != wanted(p, i + 1)) return 0;
    }
    return told(azc__utf8(0, p, n)) == wanted(p, n);
}

static size_t encode(unsigned char *out, uint32_t c, size_t size) {
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = size; i-- > 1; c >>= 6) out[i] = (unsigned char)(0x80 | (c & 63));
    out[0] = (unsigned char)(lead[size] | c);
    return size;
}

/* ---- By hand --------------------------------------------------------------------------------- */

static void by_hand(void) {
    TEST("RFC 3629 section 7: its examples are valid") {
        CHECK(azc__utf8_valid("\x41\xE2\x89\xA2\xCE\x91\x2E", 7));
        CHECK(azc__utf8_valid("\xED\x95\x9C\xEA\xB5\xAD\xEC\x96\xB4", 9));
        CHECK(azc__utf8_valid("\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E", 9));
        CHECK(azc__utf8_valid("\xEF\xBB\xBF\xF0\xA3\x8E\xB4", 7));
        CHECK(azc__utf8_valid("", 0) && azc__utf8_valid(NULL, 0));
        CHECK(azc__utf8_valid("a\0b", 3));
    }
    TEST("the first and last character of each length are valid") {
        static const char *const good[] = {"\x7F", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80",
            "\xED\x9F\xBF", "\xEE\x80\x80", "\xEF\xBF\xBD", "\xEF\xBF\xBE", "\xEF\xBF\xBF",
            "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "\xCE\xBA\xE1\xBD\xB9\xCF\x83"};
        for (size_t i = 0; i < sizeof good / sizeof *good; i++)
            if (!CHECK(azc__utf8_valid(good[i], strlen(good[i])))) printf("    %zu\n", i);
    }
    TEST("overlong forms, surrogates, code points past U+10FFFF and stray bytes are invalid") {
        static const char *const bad[] = {
            "\x80", "\xBF", "\x80\xBF", "a\x80", "\xFE", "\xFF", "\xFE\xFE\xFF\xFF",
            "\xC0\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x80\xAF", "\xE0\x9F\xBF",
            "\xF0\x80\x80\x80", "\xF0\x80\x80\xAF", "\xF0\x8F\xBF\xBF",
            "\xF8\x88\x80\x80\x80", "\xFC\x84\x80\x80\x80\x80", "\xF8\x80\x80\x80\xAF",
            "\xED\xA0\x80", "\xED\xAF\xBF", "\xED\xB0\x80", "\xED\xBF\xBF",
            "\xED\xA0\x80\xED\xB0\x80", "\xED\xAF\xBF\xED\xBF\xBF",
            "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xF7\xBF\xBF\xBF",
            "\xC2", "\xC2 ", "\xE2\x82", "\xE2\x82 ", "\xE2 ", "\xF0\x9F\x98", "\xF0\x9F ",
            "\xC2\xC2\x80", "\xE2\x82\xC2\x80", "\xC2\x80\x80",
            ("\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xED\xA0\x80" "edited")};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            if (!CHECK(!azc__utf8_valid(bad[i], strlen(bad[i])))) printf("    %zu\n", i);
            compare((const unsigned char *)bad[i], strlen(bad[i]));
        }
    }
    TEST("a bad byte is reported at once, not at the character's end") {
        CHECK(azc__utf8(0, (const unsigned char *)"\xF4\x90", 2) == AZC__UTF8_BAD);
        CHECK(azc__utf8(0, (const unsigned char *)"\xED\xA0", 2) == AZC__UTF8_BAD);
        CHECK(azc__utf8(0, (const unsigned char *)"\xE0\x9F", 2) == AZC__UTF8_BAD);
        CHECK(azc__utf8(0, (const unsigned char *)"\xF0\x8F", 2) == AZC__UTF8_BAD);
        CHECK(azc__utf8(0, (const unsigned char *)"\xC1", 1) == AZC__UTF8_BAD);
        CHECK(azc__utf8(0, (const unsigned char *)"\xF5", 1) == AZC__UTF8_BAD);
    }
    TEST("after a bad byte the state stays bad") {
        for (int c = 0; c < 256; c++) {
            unsigned char byte = (unsigned char)c;
            CHECK(azc__utf8(AZC__UTF8_BAD, &byte, 1) == AZC__UTF8_BAD);
        }
        CHECK(azc__utf8(AZC__UTF8_BAD, NULL, 0) == AZC__UTF8_BAD);
    }
    TEST("zero bytes do not change the state") {
        for (int c = 0; c < 256; c++) {
            unsigned char byte = (unsigned char)c;
            uint32_t state = azc__utf8(0, &byte, 1);
            CHECK(azc__utf8(state, NULL, 0) == state);
        }
    }
}

/* ---- Exhaustively ---------------------------------------------------------------------------- */

/* Each side of every border that RFC 3629 section 4 draws between bytes. */
static const unsigned char borders[] = {
    0x00, 0x41, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x91, 0x9F, 0xA0, 0xA1, 0xBE, 0xBF, 0xC0, 0xC1, 0xC2,
    0xDF, 0xE0, 0xE1, 0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFC, 0xFE, 0xFF};
enum { BORDERS = sizeof borders };

static void everything(void) {
    TEST("every one, two and three bytes are judged as by the reference") {
        int wrong = 0;
        for (unsigned i = 0; i < 1u << 24; i++) {
            unsigned char p[3] = {(unsigned char)(i >> 16), (unsigned char)(i >> 8),
                                  (unsigned char)i};
            /* behind ASCII or a bad byte the rest is a shorter case */
            if (p[0] > 0 && p[0] < 0x80) i |= 0xFFFF;
            else wrong += told(azc__utf8(0, p, 3)) != wanted(p, 3);
            if ((i & 0xFFFF) == 0xFFFF) wrong += !steps_agree(p, 1);
            if ((i & 0xFF) == 0xFF) wrong += !steps_agree(p, 2);
        }
        CHECK_INT(wrong, 0);
    }
    TEST("every four bytes around each limit are judged as by the reference, byte by byte") {
        int wrong = 0;
        for (unsigned lead = 0xC0; lead < 256; lead++) {
            for (unsigned i = 0; i < (unsigned)BORDERS * BORDERS * BORDERS; i++) {
                unsigned char p[4] = {(unsigned char)lead, borders[i % BORDERS],
                                      borders[i / BORDERS % BORDERS],
                                      borders[i / BORDERS / BORDERS]};
                wrong += !steps_agree(p, 4);
            }
        }
        CHECK_INT(wrong, 0);
    }
    TEST("every code point in every length is valid if shortest, no surrogate, to U+10FFFF") {
        int wrong = 0;
        for (size_t size = 1; size <= 4; size++) {
            uint32_t end = size == 1 ? 0x80 : size == 2 ? 0x800 : size == 3 ? 0x10000 : 0x200000;
            for (uint32_t c = 0; c < end; c++) {
                unsigned char p[4];
                size_t shortest = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
                int want = size == shortest && c <= 0x10FFFF && !(c >= 0xD800 && c <= 0xDFFF);
                wrong += azc__utf8_valid(p, encode(p, c, size)) != want;
            }
        }
        CHECK_INT(wrong, 0);
    }
    TEST("the writer writes the shortest form of each code point") {
        int wrong = 0;
        for (uint32_t c = 0; c <= 0x10FFFF; c++) {
            unsigned char p[4] = {0};
            char out[4] = {0};
            size_t n = encode(p, c, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
            wrong += azc__utf8_write(out, (int)c) != n || memcmp(out, p, 4) != 0;
        }
        CHECK_INT(wrong, 0);
    }
}

/* ---- Long strings, which go by words --------------------------------------------------------- */

static void long_strings(void) {
    TEST("a bad byte is found at each place of a long string, at each alignment") {
        static unsigned char text[128 + 8];
        int wrong = 0;
        for (size_t shift = 0; shift < 8; shift++) {
            for (size_t n = 0; n <= 128; n++) {
                memset(text, 'x', sizeof text);
                wrong += azc__ascii_run(text + shift, n) != n;
                wrong += !azc__utf8_valid(text + shift, n);
                for (size_t at = 0; at < n; at++) {
                    text[shift + at] = at & 1 ? 0x80 : 0xFF;
                    wrong += azc__ascii_run(text + shift, n) != at;
                    wrong += azc__utf8_valid(text + shift, n) != 0;
                    text[shift + at] = 'x';
                }
            }
        }
        CHECK_INT(wrong, 0);
    }
    TEST("a run of ASCII never reads behind its end") {
        static unsigned char text[200];
        memset(text, 'x', sizeof text);
        for (size_t n = 0; n <= 200; n++)
            CHECK_INT(azc__ascii_run((const unsigned char *)placed(text, n), n), n);
    }
    TEST("a character is whole at each place of a long string, and missing its last byte is not") {
        unsigned char text[100];
        for (size_t size = 2; size <= 4; size++) {
            static const uint32_t of_size[] = {0, 0, 0xE9, 0x20AC, 0x1F600};
            for (size_t at = 0; at + size <= sizeof text; at++) {
                memset(text, 'x', sizeof text);
                encode(text + at, of_size[size], size);
                CHECK(azc__utf8_valid(placed(text, 100), 100));
                CHECK(told(azc__utf8(0, (unsigned char *)placed(text, at + size - 1),
                                     at + size - 1)) == 0);
                text[at + size - 1] = 'x';
                CHECK(!azc__utf8_valid(placed(text, 100), 100));
            }
        }
    }
    TEST("random strings, mostly valid, are judged alike whole and in every cut") {
        static const uint32_t points[] = {0, 'a', 0x7F, 0x80, 0x7FF, 0x800, 0xD7FF, 0xE000, 0xFFFF,
                                          0x10000, 0x10FFFF, 0xD800, 0x110000};
        for (int round = 0; round < 3000; round++) {
            unsigned char text[64];
            size_t n = 0;
            while (n < 24) {
                uint32_t c = points[random_below(random_below(8) ? 11 : 13)];
                n += encode(text + n, c, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
            }
            if (random_below(3) == 0) text[random_below(n)] = (unsigned char)random_bits();
            compare(text, n - random_below(4));
        }
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    by_hand();
    everything();
    long_strings();
    return test_end();
}
