/* FRAME: RFC 6455 sections 5, 7.4 and 8.1: heads, masks, and the decoder in every cut. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"

/* ---- Masks ----------------------------------------------------------------------------------- */

static void masks(void) {
    TEST("unmasking is XOR with mask[i % 4] at every offset, alignment and length (RFC 6455 5.3)") {
        static const unsigned char mask[4] = {0x37, 0xFA, 0x21, 0x3D};
        int wrong = 0;
        for (uint64_t offset = 0; offset < 8; offset++) {
            for (size_t shift = 0; shift < 8; shift++) {
                for (size_t n = 0; n <= 80; n++) {
                    unsigned char text[8 + 80 + 8], want[sizeof text];
                    for (size_t i = 0; i < sizeof text; i++)
                        want[i] = text[i] = (unsigned char)(i * 37 + n);
                    for (size_t i = 0; i < n; i++) want[shift + i] ^= mask[(offset + i) % 4];
                    int high = !AZC__FAST;
                    for (size_t i = 0; i < n; i++) high |= want[shift + i] >> 7;
                    wrong += (azc__unmask(text + shift, n, mask, offset) != 0) != high;
                    wrong += memcmp(text, want, sizeof text) != 0;
                }
            }
        }
        CHECK_INT(wrong, 0);
    }
    TEST("unmasking reports a byte over 127, at any position") {
        static const unsigned char mask[4] = {0x80, 0, 0x80, 0};
        int wrong = 0;
        for (size_t n = 1; n <= 80; n++) {
            for (size_t at = 0; at <= n; at++) { /* at n: there is none */
                unsigned char text[81];
                for (size_t i = 0; i <= n; i++) text[i] = (unsigned char)('a' ^ mask[(i + 1) % 4]);
                text[at] ^= 0x80;
                wrong += (azc__unmask(text, n, mask, 1) != 0) != (at < n || !AZC__FAST);
            }
        }
        CHECK_INT(wrong, 0);
    }
    TEST("unmasking changes no byte past the end, at any alignment") {
        static const unsigned char mask[4] = {1, 2, 3, 4};
        static const unsigned char zeros[80] = {0};
        for (size_t n = 0; n <= 80; n++) {
            unsigned char *p = (unsigned char *)placed(zeros, n);
            azc__unmask(p, n, mask, 3);
            for (size_t i = 0; i < n; i++) CHECK_INT(p[i], mask[(3 + i) % 4]);
        }
    }
    TEST("the mask turns with offsets past 2^32, too") {
        static const unsigned char mask[4] = {1, 2, 3, 4};
        unsigned char p[40] = {0};
        azc__unmask(p, 40, mask, ((uint64_t)1 << 40) + 1);
        for (size_t i = 0; i < 40; i++) CHECK_INT(p[i], mask[(1 + i) % 4]);
    }
}

static const char *why; /* the rule that was broken last */

/* ---- Heads ----------------------------------------------------------------------------------- */

static int head(const void *bytes, size_t n, int open, uint64_t room, azc__frame *f) {
    return azc__frame_head((const unsigned char *)placed(bytes, n), n, open, room, f, &why);
}

/* The rules of RFC 6455 5.1, 5.2, 5.4 and 5.5 for the first two bytes, one by one. */
static int start_is_wrong(int b0, int b1, int open) {
    int fin = b0 & 0x80, rsv = b0 & 0x70, opcode = b0 & 0x0F, masked = b1 & 0x80, len = b1 & 0x7F;
    if (rsv != 0) return 1;
    if (!masked) return 1;
    switch (opcode) {
    case 0x0: return !open;
    case 0x1: case 0x2: return !!open;
    case 0x8: return !fin || len > 125 || len == 1; /* a code is two bytes: 5.5.1 */
    case 0x9: case 0xA: return !fin || len > 125;
    default: return 1; /* reserved */
    }
}

static void heads(void) {
    TEST("all 65536 first two bytes are accepted or refused by RFC 6455 5.2 to 5.5") {
        static const uint64_t rooms[] = {0, 1, 124, 125, 126, 65536, UINT64_MAX};
        int wrong = 0;
        for (unsigned i = 0; i < 65536 * 2 * 7; i++) {
            unsigned char p[6] = {(unsigned char)i, (unsigned char)(i >> 8), 9, 8, 7, 6};
            int open = i >> 16 & 1, len = p[1] & 0x7F, control = p[0] & 8;
            uint64_t room = rooms[i >> 17];
            azc__frame f;
            int bad = start_is_wrong(p[0], p[1], open);
            int large = !bad && !control && len < 126 && (uint64_t)len > room;
            int want = bad ? -1002 : large ? -1009 : 0;
            wrong += azc__frame_head(p, 2, open, room, &f, &why) != want;
            if (len >= 126) continue;
            int k = azc__frame_head(p, 6, open, room, &f, &why);
            wrong += k != (want ? want : 6);
            if (k > 0) wrong += f.len != (uint64_t)len || f.opcode != (p[0] & 15) ||
                                f.fin != p[0] >> 7 || memcmp(f.mask, p + 2, 4) != 0;
        }
        CHECK_INT(wrong, 0);
    }
    TEST("a first byte that no second byte can make valid is refused alone") {
        for (int open = 0; open < 2; open++) {
            for (int b0 = 0; b0 < 256; b0++) {
                int hopeless = 1;
                for (int b1 = 0; b1 < 256; b1++) hopeless &= start_is_wrong(b0, b1, open);
                unsigned char p = (unsigned char)b0;
                azc__frame f;
                CHECK_INT(head(&p, 1, open, UINT64_MAX, &f), hopeless ? -1002 : 0);
            }
        }
    }
    TEST("every 16-bit length: below 126 is not the minimal form (5.2), above the room is 1009") {
        int wrong = 0;
        for (unsigned len = 0; len < 65536; len++) {
            unsigned char p[8] = {0x82, 0xFE, (unsigned char)(len >> 8), (unsigned char)len,
                                  0xA, 0xB, 0xC, 0xD};
            azc__frame f;
            for (size_t n = 0; n < 4; n++) wrong += azc__frame_head(p, n, 0, 40000, &f, &why) != 0;
            int want = len < 126 ? -1002 : len > 40000 ? -1009 : 0;
            for (size_t n = 4; n < 8; n++) wrong += azc__frame_head(p, n, 0, 40000, &f, &why) != want;
            wrong += azc__frame_head(p, 8, 0, 40000, &f, &why) != (want ? want : 8);
            if (!want) wrong += f.len != len || memcmp(f.mask, p + 4, 4) != 0;
        }
        CHECK_INT(wrong, 0);
    }
    TEST("64-bit lengths: minimal, without the top bit, within the room; at every cut") {
        static const uint64_t lens[] = {0, 1, 125, 126, 65535, 65536, 65537, 0x7FFFFFFF, 0x80000000,
            0xFFFFFFFF, 0x100000000, (uint64_t)1 << 62, ((uint64_t)1 << 63) - 1, (uint64_t)1 << 63,
            UINT64_MAX, UINT64_MAX - 9};
        static const uint64_t rooms[] = {0, 65535, 65536, 0xFFFFFFFF, INT64_MAX, UINT64_MAX};
        for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
            for (size_t r = 0; r < sizeof rooms / sizeof *rooms; r++) {
                unsigned char p[15] = {0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0xA, 0xB, 0xC, 0xD, 0xE};
                for (int k = 0; k < 8; k++) p[2 + k] = (unsigned char)(lens[i] >> (56 - 8 * k));
                int top = lens[i] >> 63 != 0;
                int want = top || lens[i] < 65536 ? -1002 : lens[i] > rooms[r] ? -1009 : 0;
                azc__frame f;
                for (size_t n = 0; n < 14; n++)
                    CHECK_INT(head(p, n, 0, rooms[r], &f),
                        top && n > 2 ? -1002 : n < 10 ? 0 : want);
                for (size_t n = 14; n < 16; n++)
                    CHECK_INT(head(p, n, 0, rooms[r], &f), want ? want : 14);
                if (!want) CHECK(f.len == lens[i] && memcmp(f.mask, p + 10, 4) == 0);
            }
        }
    }
    TEST("the room of a message does not count for control frames") {
        azc__frame f;
        CHECK_INT(head("\x89\xFD\1\2\3\4", 6, 0, 0, &f), 6);
        CHECK_INT(head("\x8A\xFD\1\2\3\4", 6, 1, 0, &f), 6);
        CHECK_INT(head("\x88\xFD\1\2\3\4", 6, 1, 0, &f), 6);
        CHECK_INT(f.len, 125);
    }
}

static void writing(void) {
    unsigned char *out = (unsigned char *)guarded_fill('?', 10);
    TEST("heads for the peer: RFC 6455 5.7") {
        CHECK_INT(azc__frame_write(out, AZC__OP_TEXT, 5), 2);
        CHECK(memcmp(out, "\x81\x05", 2) == 0);
        CHECK_INT(azc__frame_write(out, AZC__OP_PING, 5), 2);
        CHECK(memcmp(out, "\x89\x05", 2) == 0);
        CHECK_INT(azc__frame_write(out, AZC__OP_BINARY, 256), 4);
        CHECK(memcmp(out, "\x82\x7E\x01\x00", 4) == 0);
        CHECK_INT(azc__frame_write(out, AZC__OP_BINARY, 65536), 10);
        CHECK(memcmp(out, "\x82\x7F\x00\x00\x00\x00\x00\x01\x00\x00", 10) == 0);
    }
    TEST("a written head, masked, is read as it was meant, in its shortest form") {
        static const uint64_t lens[] = {0, 1, 124, 125, 126, 127, 128, 255, 256, 65534, 65535,
            65536,
                                        65537, 0xFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x123456789AB};
        for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
            if (lens[i] > SIZE_MAX) continue;
            size_t n = lens[i] < 126 ? 2 : lens[i] < 65536 ? 4 : 10;
            unsigned char *at = out + 10 - n, masked[14] = {0}; /* its end is the page's */
            CHECK_INT(azc__frame_overhead((size_t)lens[i]), n);
            CHECK_INT(azc__frame_write(at, AZC__OP_BINARY, (size_t)lens[i]), n);
            CHECK_INT(at[1] & 0x80, 0); /* 5.1: a server does not mask */
            memcpy(masked, at, n);
            masked[1] |= 0x80;
            azc__frame f = {0, {0}, 0, 0};
            CHECK_INT(head(masked, n + 4, 0, UINT64_MAX, &f), n + 4);
            CHECK(f.len == lens[i] && f.fin && f.opcode == AZC__OP_BINARY);
        }
    }
    guarded_free(out, 10);
}

/* ---- Close frames ---------------------------------------------------------------------------- */

/* RFC 6455 7.4.1, 7.4.2, and 1012-1014 from IANA's registry that 11.7 opens. */
static int code_may_be_sent(int code) {
    switch (code) {
    case 1000: case 1001: case 1002: case 1003: case 1007: case 1008: case 1009: case 1010:
    case 1011: case 1012: case 1013: case 1014: return 1;
    default: return code >= 3000 && code < 5000;
    }
}

static int close_check(const void *bytes, size_t n) {
    return azc__close_check((const unsigned char *)placed(bytes, n), n, &why);
}

static void closes(void) {
    TEST("all 65536 close codes are accepted or refused by RFC 6455 7.4") {
        int wrong = 0;
        for (int code = 0; code < 65536; code++) {
            unsigned char p[2] = {(unsigned char)(code >> 8), (unsigned char)code};
            wrong += azc__close_code_valid((unsigned)code) != code_may_be_sent(code);
            wrong += close_check(p, 2) != (code_may_be_sent(code) ? 0 : -1002);
        }
        CHECK_INT(wrong, 0);
        CHECK(!azc__close_code_valid(65536 + 1000));
    }
    TEST("a close reason is UTF-8 (RFC 6455 5.5.1), and it may be missing") {
        CHECK_INT(close_check("", 0), 0);
        CHECK_INT(close_check("\x03\xE8going", 7), 0);
        CHECK_INT(close_check("\x03\xE8g\xC3\xB6", 5), 0);
        CHECK_INT(close_check("\x03\xE8g\xC3", 4), -1007);
        CHECK_INT(close_check("\x03\xE8\xFF", 3), -1007);
        CHECK_INT(close_check("\x03\xE8\xED\xA0\x80", 5), -1007);
        CHECK_INT(close_check("\x03\xEDg\xC3", 4), -1002);
    }
}

/* ---- Conversations: the decoder's events in words -------------------------------------------- */

typedef struct story {
    char text[4096];
    size_t len;
} story;

/* "1:Hello 9: -1002", bytes as %XX; long payloads by length and FNV hash; "+" if a rest waits. */
static void tell(story *s, const azc__event *e) {
    char *at = s->text + s->len, *end = s->text + sizeof s->text;
    if (end - at < 200) return;
    at += snprintf(at, 16, s->len ? " %d" : "%d", e->kind);
    if (e->kind > 0) {
        *at++ = ':';
        uint32_t hash = 2166136261u;
        for (size_t i = 0; i < e->len; i++) {
            unsigned char c = e->data[i];
            hash = (hash ^ c) * 16777619u;
            if (e->len <= 40) at += snprintf(at, 4, c > 32 && c < 127 && c != '%' ? "%c" : "%%%02X",
                                             c);
        }
        if (e->len > 40)
            at += snprintf(at, 40, "#%lu#%08lx", (unsigned long)e->len, (unsigned long)hash);
    }
    s->len = (size_t)(at - s->text);
}

typedef struct cuts { /* a first piece, then equal ones; step 0: all the rest; -1: random */
    size_t first;
    int step;
} cuts;

/* Feed bytes in pieces, each against an unreadable page, as the connection would: one event at a
 * time, a NUL written behind its data where that is the decoder's own memory. */
static const char *decode(story *s, const void *bytes, size_t n, uint64_t max, cuts how) {
    azc__in *in = NULL;
    size_t fed = 0, piece = how.first;
    azc__event e = {0, NULL, 0, 0, NULL, NULL};
    e.kind = 0;
    memset(s, 0, sizeof *s);
    while (fed < n && e.kind >= 0) {
        if (fed > 0 || piece == 0)
            piece = how.step < 0 ? 1 + random_below(20) : how.step ? (size_t)how.step : n - fed;
        if (piece > n - fed) piece = n - fed;
        unsigned char *p = (unsigned char *)placed((const char *)bytes + fed, piece);
        for (size_t left = piece; left > 0 && e.kind >= 0;) {
            size_t used = azc__decode(&pure_mem, &in, max, p, left, &e);
            if (!CHECK(used > 0 && used <= left)) break;
            if (e.kind <= 0) CHECK_INT(used, left);
            if (e.kind != 0) tell(s, &e);
            if (e.kind > 0 && e.data && e.data + e.len != p + left) {
                unsigned char behind = e.data[e.len];
                e.data[e.len] = 0;
                e.data[e.len] = behind;
            }
            if (e.kind > 0) azc__decode_done(&pure_mem, &in);
            p += used;
            left -= used;
        }
        fed += piece;
    }
    if (e.kind >= 0 && in != NULL) {
        s->text[s->len++] = '+';
        s->text[s->len] = 0;
    }
    azc__in_free(&pure_mem, &in);
    CHECK(in == NULL);
    CHECK_INT(pure_bytes(), 0);
    return s->text;
}

/* Whole, one byte at a time, in every single cut, and in random ones: the same story. */
static void expect(const void *bytes, size_t n, uint64_t max, const char *want) {
    static story s;
    cuts how = {0, 0};
    if (!CHECK_STR(decode(&s, bytes, n, max, how), want)) return;
    for (how.step = 1; how.step < 8; how.step++)
        if (!CHECK_STR(decode(&s, bytes, n, max, how), want)) return;
    how.step = -1;
    for (int i = 0; i < 5; i++)
        if (!CHECK_STR(decode(&s, bytes, n, max, how), want)) return;
    how.step = 0;
    for (how.first = 1; how.first < n && how.first < 3000; how.first++)
        if (!CHECK_STR(decode(&s, bytes, n, max, how), want)) return;
}

/* A client's frames, one after the other. */
typedef struct wire {
    unsigned char bytes[WINDOW];
    size_t len;
} wire;

static wire *frame(wire *w, int first_byte, const void *payload, size_t n) {
    static const unsigned char mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    unsigned char *p = w->bytes + w->len;
    *p++ = (unsigned char)first_byte;
    *p++ = (unsigned char)(0x80 | (n < 126 ? n : n < 65536 ? 126 : 127));
    if (n >= 65536) for (int i = 0; i < 6; i++) *p++ = (unsigned char)((uint64_t)n >> (56 - 8 * i));
    if (n >= 126) *p++ = (unsigned char)(n >> 8), *p++ = (unsigned char)n;
    memcpy(p, mask, 4);
    p += 4;
    for (size_t i = 0; i < n; i++) *p++ = ((const unsigned char *)payload)[i] ^ mask[i % 4];
    w->len = (size_t)(p - w->bytes);
    return w;
}

static wire *raw(wire *w, const void *bytes, size_t n) {
    memcpy(w->bytes + w->len, bytes, n);
    w->len += n;
    return w;
}

static wire *text(wire *w, int first_byte, const char *payload) {
    return frame(w, first_byte, payload, strlen(payload));
}

static wire *fresh(void) {
    static wire w;
    w.len = 0;
    return &w;
}

#define EXPECT(w, max, want) expect((w)->bytes, (w)->len, max, want)

static void conversations(void) {
    enum { MAX = 1000 };
    wire *w;
    TEST("RFC 6455 5.7: a masked text, a masked pong") {
        expect("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, MAX, "1:Hello");
        expect("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, MAX, "10:Hello");
    }
    TEST("RFC 6455 5.7: its unmasked frames are a server's and kill the connection (5.1)") {
        expect("\x81\x05\x48\x65\x6c\x6c\x6f", 7, MAX, "-1002");
        expect("\x89\x05\x48\x65\x6c\x6c\x6f", 7, MAX, "-1002");
        expect("\x01\x03\x48\x65\x6c", 5, MAX, "-1002");
    }
    TEST("RFC 6455 5.4: fragments join; control frames between them are delivered at once") {
        w = text(text(fresh(), 0x01, "Hel"), 0x80, "lo");
        EXPECT(w, MAX, "1:Hello");
        w = text(text(text(text(text(fresh(), 0x02, "a"), 0x89, "ping"), 0x00, "b"), 0x8A, ""),
                 0x80, "c");
        EXPECT(w, MAX, "9:ping 10: 2:abc");
        w = text(text(text(text(fresh(), 0x01, ""), 0x00, ""), 0x89, ""), 0x80, "");
        EXPECT(w, MAX, "9: 1:");
        w = text(text(text(fresh(), 0x02, "x"), 0x88, "\x03\xE8" "bye"), 0x80, "y");
        EXPECT(w, MAX, "8:%03%E8bye 2:xy");
    }
    TEST("empty messages, and many in a row") {
        w = text(text(text(text(fresh(), 0x81, ""), 0x82, ""), 0x81, "a"), 0x81, "");
        EXPECT(w, MAX, "1: 2: 1:a 1:");
        w = text(text(text(text(fresh(), 0x81, "a"), 0x01, "b"), 0x80, "c"), 0x81, "d");
        EXPECT(w, MAX, "1:a 1:bc 1:d");
    }
    TEST("a partial message is kept, and its memory is freed when it is whole") {
        EXPECT(raw(fresh(), "\x81", 1), MAX, "+");
        EXPECT(raw(text(fresh(), 0x81, "a"), "\x81\x85\1\2\3\4ab", 8), MAX, "1:a+");
        EXPECT(text(text(fresh(), 0x01, "a"), 0x89, "p"), MAX, "9:p+");
        EXPECT(text(fresh(), 0x02, ""), MAX, "+");
    }
    TEST("a continuation without a message, and a new message inside one, are 1002") {
        EXPECT(text(fresh(), 0x80, "orphan"), MAX, "-1002");
        EXPECT(text(fresh(), 0x00, "orphan"), MAX, "-1002");
        EXPECT(text(text(text(fresh(), 0x01, "a"), 0x80, "b"), 0x80, "c"), MAX, "1:ab -1002");
        EXPECT(text(text(fresh(), 0x01, "a"), 0x81, "b"), MAX, "-1002");
        EXPECT(text(text(fresh(), 0x02, ""), 0x02, "b"), MAX, "-1002");
        EXPECT(text(text(text(fresh(), 0x81, "a"), 0x82, "b"), 0x80, "c"), MAX,
               "1:a 2:b -1002");
    }
    TEST("events before an error are delivered first") {
        EXPECT(text(text(fresh(), 0x81, "a"), 0x83, "b"), MAX, "1:a -1002");
        EXPECT(text(text(text(fresh(), 0x01, "a"), 0x89, "p"), 0xC0, "b"), MAX, "9:p -1002");
        EXPECT(raw(text(fresh(), 0x82, "a"), "\xFF", 1), MAX, "2:a -1002");
    }
    TEST("control frames are whole and at most 125 bytes (5.5)") {
        char p[200];
        memset(p, 'p', sizeof p);
        EXPECT(frame(fresh(), 0x89, p, 125), MAX, "9:#125#995e1f9f");
        EXPECT(frame(fresh(), 0x89, p, 126), MAX, "-1002");
        EXPECT(frame(fresh(), 0x8A, p, 126), MAX, "-1002");
        EXPECT(text(fresh(), 0x09, "p"), MAX, "-1002");
        EXPECT(text(fresh(), 0x08, ""), MAX, "-1002");
        EXPECT(text(fresh(), 0x8B, ""), MAX, "-1002");
    }
    TEST("close frames: none, a code, a reason; one byte, a bad code, a bad reason") {
        EXPECT(text(fresh(), 0x88, ""), MAX, "8:");
        EXPECT(text(fresh(), 0x88, "\x03\xE8"), MAX, "8:%03%E8");
        EXPECT(text(fresh(), 0x88, "\x0F\xA1" "bye"), MAX, "8:%0F%A1bye");
        EXPECT(text(fresh(), 0x88, "\x03"), MAX, "-1002");
        EXPECT(text(fresh(), 0x88, "\x03\xED"), MAX, "-1002");
        EXPECT(text(fresh(), 0x88, "\x03\xE8\xC3"), MAX, "-1007");
        EXPECT(text(fresh(), 0x88, "\x03\xE8\xC3("), MAX, "-1007");
    }
    TEST("text is UTF-8 as a whole message, not per fragment (8.1)") {
        w = text(text(text(text(fresh(), 0x01, "\xF0"), 0x00, "\x9F\x98"), 0x00, ""), 0x80, "\x80");
        EXPECT(w, MAX, "1:%F0%9F%98%80");
        EXPECT(text(fresh(), 0x81, "\xE2\x82\xAC"), MAX, "1:%E2%82%AC");
        EXPECT(text(fresh(), 0x82, "\xE2\x82\xFF"), MAX, "2:%E2%82%FF");
        EXPECT(text(text(fresh(), 0x02, "\xE2\x82"), 0x80, "\xFF"), MAX, "2:%E2%82%FF");
        EXPECT(text(fresh(), 0x81, "ab\xE2\x82"), MAX, "-1007");
        EXPECT(text(text(fresh(), 0x01, "\xE2\x82"), 0x80, ""), MAX, "-1007");
        EXPECT(text(text(fresh(), 0x01, "\xE2\x82"), 0x80, "("), MAX, "-1007");
        EXPECT(text(text(fresh(), 0x81, "ok"), 0x81, "\xED\xA0\x80"), MAX, "1:ok -1007");
    }
    TEST("UTF-8 state does not carry over to the next message, nor from text to binary") {
        w = text(text(text(text(fresh(), 0x02, "\xE2"), 0x80, "\x82"), 0x01, "a"), 0x80, "b");
        EXPECT(w, MAX, "2:%E2%82 1:ab");
        w = text(text(text(text(fresh(), 0x01, "\xC3"), 0x89, "\xFF"), 0x80, "\xA4"), 0x82, "\xFF");
        EXPECT(w, MAX, "9:%FF 1:%C3%A4 2:%FF");
    }
    TEST("a bad byte of text fails at once, inside an unfinished fragment or frame") {
        EXPECT(text(fresh(), 0x01, "good\xFF"), MAX, "-1007");
        w = text(fresh(), 0x81, "good\xC0 and more");
        for (size_t n = 6 + 5; n < w->len; n++) expect(w->bytes, n, MAX, "-1007");
        expect(w->bytes, 6 + 4, MAX, "+");
        w = text(fresh(), 0x01, "\xF4\x90 and more");
        for (size_t n = 6 + 2; n < w->len; n++) expect(w->bytes, n, MAX, "-1007");
    }
}

static void limits(void) {
    static char payload[70000];
    wire *w;
    static story s;
    cuts whole = {0, 0}, bytewise = {0, 1};
    memset(payload, 'm', sizeof payload);
    TEST("max_message counts the message in all its fragments, to the byte") {
        EXPECT(frame(fresh(), 0x81, payload, 10), 10, "1:mmmmmmmmmm");
        EXPECT(frame(fresh(), 0x81, payload, 11), 10, "-1009");
        EXPECT(frame(frame(fresh(), 0x01, payload, 5), 0x80, payload, 5), 10, "1:mmmmmmmmmm");
        EXPECT(frame(frame(fresh(), 0x01, payload, 5), 0x80, payload, 6), 10, "-1009");
        EXPECT(frame(frame(fresh(), 0x02, payload, 10), 0x00, payload, 1), 10, "-1009");
        EXPECT(frame(frame(fresh(), 0x02, payload, 10), 0x80, payload, 0), 10, "2:mmmmmmmmmm");
        EXPECT(frame(frame(fresh(), 0x82, payload, 10), 0x82, payload, 10), 10,
               "2:mmmmmmmmmm 2:mmmmmmmmmm");
        EXPECT(frame(frame(frame(fresh(), 0x02, payload, 10), 0x89, payload, 20), 0x80, "", 0), 10,
               "9:mmmmmmmmmmmmmmmmmmmm 2:mmmmmmmmmm");
        EXPECT(frame(fresh(), 0x82, payload, 1), 0, "-1009");
        EXPECT(frame(fresh(), 0x82, payload, 0), 0, "2:");
    }
    TEST("an announced length past max_message fails with the head, before any payload") {
        static const char *const heads[] = {"\x82\xFE\x03\xE9", "\x82\xFF\0\0\0\0\0\1\0\0",
            "\x82\xFF\0\0\0\1\0\0\0\0", "\x82\xFF\x40\0\0\0\0\0\0\0",
            "\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"};
        for (size_t i = 0; i < 5; i++) expect(heads[i], i ? 10 : 4, 1000, "-1009");
        expect("\x82\xFF\x80", 3, 1000, "-1002");
        expect("\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 10, 1000, "-1002");
        /* the sum with the fragments before may not wrap */
        w = frame(fresh(), 0x02, payload, 20);
        EXPECT(raw(w, "\x80\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 10), 1000, "-1009");
    }
    TEST("large messages, whole and in fragments of every length form") {
        w = frame(fresh(), 0x82, payload, 70000);
        CHECK_STR(decode(&s, w->bytes, w->len, 70000, whole), "2:#70000#0822fff5");
        CHECK_STR(decode(&s, w->bytes, w->len, 70000, bytewise), "2:#70000#0822fff5");
        w = frame(frame(frame(fresh(), 0x01, payload, 65536), 0x00, payload, 65), 0x80, payload,
                  4399);
        CHECK_STR(decode(&s, w->bytes, w->len, 70000, whole), "1:#70000#0822fff5");
        CHECK_STR(decode(&s, w->bytes, w->len, 70000, bytewise), "1:#70000#0822fff5");
    }
    TEST("memory grows with the bytes received, not with the announced length") {
        w = raw(fresh(), "\x82\xFF\x00\x00\x00\xFF\xFF\xFF\xFF\xFF\1\2\3\4", 14);
        raw(w, payload, 1000);
        azc__in *in = NULL;
        azc__event e = {0, NULL, 0, 0, NULL, NULL};
        memory.peak = 0;
        for (size_t i = 0; i < w->len; i++) {
            azc__decode(&pure_mem, &in, (uint64_t)1 << 50, w->bytes + i, 1, &e);
            CHECK_INT(e.kind, 0);
            size_t came = i < 14 ? 0 : i - 13;
            CHECK(memory.bytes <= 512 + 512 + 3 * came);
        }
        azc__in_free(&pure_mem, &in);
        CHECK_INT(pure_bytes(), 0);
    }
    TEST("a flood of tiny and empty fragments costs no more than a message of max_message") {
        azc__in *in = NULL;
        azc__event e = {0, NULL, 0, 0, NULL, NULL};
        unsigned char first[] = {0x02, 0x80, 1, 2, 3, 4};
        memory.peak = 0;
        azc__decode(&pure_mem, &in, 5000, first, sizeof first, &e);
        for (int i = 0; i < 25000; i++) {
            unsigned char more[] = {0x00, (unsigned char)(i % 5 == 0 ? 0x81 : 0x80), 1, 2, 3, 4, 5};
            azc__decode(&pure_mem, &in, 5000, more, i % 5 == 0 ? 7 : 6, &e);
            if (!CHECK_INT(e.kind, 0)) break;
        }
        unsigned char over[] = {0x00, 0x81, 1, 2, 3, 4};
        azc__decode(&pure_mem, &in, 5000, over, sizeof over, &e);
        CHECK_INT(e.kind, -1009);
        CHECK(memory.peak <= 512 + 3 * 5001); /* and the smaller ones it outgrew */
        CHECK(in->cap <= 5001);
        azc__in_free(&pure_mem, &in);
        CHECK_INT(pure_bytes(), 0);
    }
    TEST("a final frame takes no more than it needs") {
        azc__in *in = NULL;
        azc__event e = {0, NULL, 0, 0, NULL, NULL};
        w = frame(fresh(), 0x82, payload, 2000);
        azc__decode(&pure_mem, &in, 50000, w->bytes, 1508, &e);
        CHECK_INT(e.kind, 0);
        azc__decode(&pure_mem, &in, 50000, w->bytes + 1508, 10, &e);
        CHECK_INT(in->cap, 2048);
        azc__in_free(&pure_mem, &in);
        CHECK_INT(pure_bytes(), 0);
    }
    TEST("an idle connection between messages holds no memory") {
        azc__in *in = NULL;
        azc__event e = {0, NULL, 0, 0, NULL, NULL};
        w = text(text(fresh(), 0x01, "a"), 0x80, "b");
        size_t used = azc__decode(&pure_mem, &in, 100, w->bytes, w->len, &e);
        CHECK_INT(used, w->len);
        CHECK(in != NULL && e.kind == AZC__OP_TEXT);
        azc__decode_done(&pure_mem, &in);
        CHECK(in == NULL);
        CHECK_INT(pure_bytes(), 0);
    }
    TEST("each allocation that fails is 1011, and leaves no memory") {
        w = text(text(text(fresh(), 0x01, "Hel"), 0x89, "p"), 0x00, "lo ");
        frame(frame(w, 0x00, payload, 600), 0x80, payload, 900);
        int failed = 0;
        for (long nth = 1; nth < 100; nth++) {
            memory.fail = nth;
            const char *told = decode(&s, w->bytes, w->len, 5000, bytewise);
            if (memory.fail > 0) break;
            failed++;
            CHECK(strstr(told, "-1011") != NULL);
        }
        memory.fail = 0;
        CHECK(failed >= 3);
        memory.none = 1;
        CHECK_STR(decode(&s, w->bytes, w->len, 5000, whole), "-1011");
        w = text(text(fresh(), 0x81, "a"), 0x89, "p"); /* whole frames need none */
        CHECK_STR(decode(&s, w->bytes, w->len, 5000, whole), "1:a 9:p");
        w = text(text(fresh(), 0x81, "a"), 0x83, ""); /* nor does an error */
        CHECK_STR(decode(&s, w->bytes, w->len, 5000, whole), "1:a -1002");
        memory.none = 0;
    }
}

/* ---- While closing: only control frames matter ----------------------------------------------- */

/* The events without data messages, which are not delivered then. */
static const char *decode_closing(wire *w, cuts how) {
    static story s;
    static char out[sizeof s.text];
    size_t n = 0;
    const char *p = decode(&s, w->bytes, w->len, AZC__DISCARD, how);
    while (*p) {
        size_t word = strcspn(p, " ");
        if (!(word >= 2 && (p[0] == '1' || p[0] == '2') && p[1] == ':')) {
            if (n > 0) out[n++] = ' ';
            memcpy(out + n, p, word);
            n += word;
        } else if (p[word - 1] == '+') {
            out[n++] = '+';
        }
        p += word + (p[word] == ' ');
    }
    out[n] = 0;
    return out;
}

static void expect_closing(wire *w, const char *want) {
    cuts how = {0, 0};
    if (!CHECK_STR(decode_closing(w, how), want)) return;
    how.step = 1;
    if (!CHECK_STR(decode_closing(w, how), want)) return;
    how.step = 0;
    for (how.first = 1; how.first < w->len && how.first < 500; how.first++)
        if (!CHECK_STR(decode_closing(w, how), want)) return;
}

static void closing(void) {
    static char payload[3000];
    TEST("a closing connection passes over messages until the peer's Close, in every cut") {
        wire *w = frame(text(text(fresh(), 0x81, "a"), 0x89, "p"), 0x82, payload, 3000);
        text(text(text(w, 0x01, "b"), 0x00, "\xE2\x82\xAC"), 0x89, "q");
        text(text(w, 0x80, "c"), 0x88, "\x03\xE8");
        expect_closing(w, "9:p 9:q 8:%03%E8");
    }
    TEST("a closing connection passes over text that is not UTF-8 in every cut") {
        expect_closing(text(text(fresh(), 0x81, "a\xFFz"), 0x88, "\x03\xE8"), "8:%03%E8");
        expect_closing(text(text(text(fresh(), 0x01, "\xE2"), 0x80, "\xFFz"), 0x88, ""), "8:");
        expect_closing(text(text(fresh(), 0x81, "\xE2\x82"), 0x88, ""), "8:");
    }
    TEST("a closing connection still fails on broken frames and broken Close frames") {
        expect_closing(text(text(fresh(), 0x81, "a"), 0x83, ""), "-1002");
        expect_closing(text(text(fresh(), 0x81, "a"), 0x80, ""), "-1002");
        expect_closing(text(fresh(), 0x88, "\x03\xED"), "-1002");
        expect_closing(text(fresh(), 0x88, "\x03\xE8\xFF"), "-1007");
    }
    TEST("a closing connection keeps no byte of the messages it passes over") {
        azc__in *in = NULL;
        azc__event e = {0, NULL, 0, 0, NULL, NULL};
        wire *w = raw(fresh(), "\x82\xFF\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\1\2\3\4", 14);
        raw(w, payload, 3000);
        memory.peak = 0;
        for (size_t i = 0; i < w->len; i += 10) {
            size_t n = w->len - i < 10 ? w->len - i : 10;
            CHECK_INT(azc__decode(&pure_mem, &in, AZC__DISCARD, w->bytes + i, n, &e), n);
            CHECK_INT(e.kind, 0);
        }
        CHECK(memory.peak <= 512);
        azc__in_free(&pure_mem, &in);
    }
    TEST("closing in the middle of a text's character does not bring its end into a message") {
        azc__in *in = NULL;
        azc__event e = {0, NULL, 0, 0, NULL, NULL};
        wire *w = text(text(text(fresh(), 0x01, "x\xE2\x82"), 0x80, "\xFF"), 0x88, "");
        size_t first = 6 + 3, n = first;
        CHECK_INT(azc__decode(&pure_mem, &in, 100, w->bytes, first, &e), first);
        CHECK_INT(e.kind, 0);
        while (n < w->len) {
            n += azc__decode(&pure_mem, &in, AZC__DISCARD, w->bytes + n, w->len - n, &e);
            if (e.kind > 0) azc__decode_done(&pure_mem, &in);
        }
        CHECK_INT(e.kind, AZC__OP_CLOSE);
        azc__in_free(&pure_mem, &in);
        CHECK_INT(pure_bytes(), 0);
    }
}

/* ---- Against a decoder of its own ------------------------------------------------------------ */

/* The whole of the rules, with the message in one array, for complete input. */
static const char *reference(const unsigned char *p, size_t n, uint64_t max) {
    static story s;
    static unsigned char message[WINDOW], control[125];
    size_t len = 0;
    int opcode = 0;
    memset(&s, 0, sizeof s);
    azc__event e = {0, NULL, 0, 0, NULL, NULL};
    while (n >= 1) {
        azc__frame f;
        int k = azc__frame_head(p, n, opcode != 0, max - len, &f, &why); /* tested above */
        e.kind = k < 0 ? k : 0;
        if (k <= 0) break;
        p += k;
        n -= (size_t)k;
        int is_control = f.opcode >= 8;
        unsigned char *to = is_control ? control : message + len;
        size_t have = n < f.len ? n : (size_t)f.len;
        for (size_t i = 0; i < have; i++) to[i] = p[i] ^ f.mask[i % 4];
        if (!is_control) len += have;
        if (!is_control && f.opcode) opcode = f.opcode;
        uint32_t state = opcode == 1 ? azc__utf8(0, message, len) : 0; /* tested elsewhere */
        int done = have == f.len && f.fin;
        if (!is_control && (state == AZC__UTF8_BAD || (done && state != 0))) {
            e.kind = -1007;
            break;
        }
        p += have;
        n -= have;
        if (have < f.len) break;
        e.kind = is_control ? f.opcode : f.fin ? opcode : 0;
        e.data = is_control ? control : message;
        e.len = is_control ? (size_t)f.len : len;
        if (e.kind == 8 && azc__close_check(control, e.len, &why)) e.kind = azc__close_check(control,
            e.len, &why);
        if (e.kind < 0) break;
        if (e.kind > 0) tell(&s, &e);
        if (e.kind == opcode) len = 0, opcode = 0;
        e.kind = 0;
    }
    if (e.kind < 0) tell(&s, &e);
    return s.text;
}

static void random_wires(void) {
    TEST("random conversations, half of them broken, give the same events in every cut") {
        static const unsigned char starts[] = {0x81, 0x82, 0x01, 0x02, 0x00, 0x00, 0x80, 0x80,
                                               0x89, 0x8A, 0x88, 0x81};
        static const char *const texts[] = {"", "a", "hello", "\xE2\x82\xAC", "\xE2", "\x82\xAC",
                                            "\xF0\x9F\x98\x80\xC3\xA4", "\x03\xE8go"};
        for (int round = 0; round < 1500; round++) {
            wire *w = fresh();
            static story s;
            int open = 0;
            for (int i = 0; i < 8; i++) {
                int start = starts[random_below(sizeof starts)];
                if (random_below(20) && start < 0x88 && (start & 15 ? open : !open)) continue;
                if (start == 0x88 && random_below(4)) continue;
                if (start < 0x88) open = !(start & 0x80);
                text(w, start, texts[random_below(start == 0x88 ? 8 : 7)]);
            }
            if (w->len > 0 && random_below(2))
                w->bytes[random_below(w->len)] ^= (unsigned char)(1 << random_below(8));
            if (w->len == 0) continue;
            char want[sizeof s.text];
            memcpy(want, reference(w->bytes, w->len, 20), sizeof want);
            for (size_t first = 0; first < w->len; first++) {
                cuts how = {first, 0};
                char *told = (char *)decode(&s, w->bytes, w->len, 20, how);
                if (s.len && told[s.len - 1] == '+') told[s.len - 1] = 0;
                if (!CHECK_STR(told, want)) return;
            }
            cuts bytewise = {0, 1};
            char *told = (char *)decode(&s, w->bytes, w->len, 20, bytewise);
            if (s.len && told[s.len - 1] == '+') told[s.len - 1] = 0;
            if (!CHECK_STR(told, want)) return;
        }
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    masks();
    heads();
    writing();
    closes();
    conversations();
    limits();
    closing();
    random_wires();
    return test_end();
}
