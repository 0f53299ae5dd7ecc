/* BODIES: the framing of bodies, in every cut and against an unreadable page. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"

/* ---- The decoder as its callers use it ------------------------------------------------------- */

static struct {
    azc__framing framing;
    char data[70000];
    size_t len, taken; /* of the data; bytes of the body */
} body;

static void begin(int state, uint64_t left) {
    memset(&body, 0, sizeof body);
    body.framing.state = (uint8_t)state, body.framing.left = left;
}

/* Give it a piece. Returns what azc__body_decode does. */
static int give(const char *piece, size_t n) {
    unsigned char *p = (unsigned char *)placed(piece, n);
    size_t len = 77777777;
    int used = azc__body_decode(&body.framing, p, n, &len);
    if (used < 0) return used;
    CHECK(len <= (size_t)used && (size_t)used <= n);
    CHECK((size_t)used == n || body.framing.state == AZC__BODY_DONE);
    memcpy(body.data + body.len, p, len);
    body.len += len, body.taken += (size_t)used;
    return used;
}

static int done(void) { return body.framing.state == AZC__BODY_DONE; }

/* A chunked body in two pieces. Returns -400, or how many bytes it took. */
static int chunked(const char *text, size_t n, size_t cut) {
    begin(AZC__CHUNK_SIZE, 0);
    if (give(text, cut) < 0) return -400;
    if (!done() && give(text + cut, n - cut) < 0) return -400;
    return (int)body.taken;
}

/* The same byte by byte. */
static int dripped(const char *text, size_t n) {
    begin(AZC__CHUNK_SIZE, 0);
    for (size_t i = 0; i < n && !done(); i++)
        if (give(text + i, 1) < 0) return -400;
    return (int)body.taken;
}

/* ---- Good and bad bodies --------------------------------------------------------------------- */

static const struct {
    const char *text, *data, *rest; /* rest: what comes behind the body */
} good[] = {
    {"5\r\nhello\r\n0\r\n\r\n", "hello", ""},
    {"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "hello", "GET / HTTP/1.1\r\n"},
    {"0\r\n\r\n", "", ""},
    {"0\r\n\r\n0\r\n\r\n", "", "0\r\n\r\n"},
    {"000\r\n\r\n", "", ""},
    {"1\r\na\r\n2\r\nbc\r\n00003\r\ndef\r\n0\r\n\r\n", "abcdef", ""},
    {"a\r\n0123456789\r\nA\r\n\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n",
     "0123456789\r\n\r\n\r\n\r\n\r\n", ""},
    {"1;\r\na\r\n0;last\r\n\r\n", "a", ""},
    {"1;name=\"v;\\\"\";b\r\na\r\n0\r\n\r\n", "a", ""},
    {"1; spaced = x\t\r\na\r\n0\r\n\r\n", "a", ""},
    {"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n", "a", ""},
    {"1\r\na\r\n0\r\nX-Sum:\r\nContent-Length: 7\r\n\r\nrest", "a", "rest"},
};

static const char *const bad[] = {
    "\r\n", "\n", " 5\r\nhello\r\n", "5 \r\nhello\r\n", "5\t\r\nhello\r\n", "5 ;x\r\nhello\r\n",
    "+5\r\nhello\r\n", "-5\r\nhello\r\n", "0x5\r\nhello\r\n", "5h\r\nhello\r\n", "5,5\r\nhello\r\n",
    "5.0\r\nhello\r\n", ";x\r\n\r\n", "5\nhello\r\n", "5\r\rhello", "5\rhello\r\n", "5\n\rhello",
    "5\r\nhello0\r\n", "5\r\nhello\n0\r\n", "5\r\nhello\r0\r\n\r\n", "5\r\nhello \r\n",
    "5\r\nhello!\r\n0\r\n\r\n", "5\r\nhell\r\n0\r\n\r\n", "5;a\nb\r\nhello", "5;a\rb\r\nhello",
    "5;a\r\r\nhello", "5;\x01\r\nhello", "5;\x7f\r\nhello", "10000000000000000\r\n",
    "fffffffffffffffff\r\n", "0\r\n0\r\n\r\n", "0\r\nGET / HTTP/1.1\r\n\r\n", "0\r\nX Y: z\r\n\r\n",
    "0\r\n folded: x\r\n\r\n", "0\r\n\tx\r\n\r\n", "0\r\n: x\r\n\r\n", "0\r\nX: y\n\r\n",
    "0\r\nX: y\r\n z\r\n\r\n", "0\r\nX: y\r\r\n", "0\r\nX: \x01\r\n\r\n", "0\r\n\n", "0\r\n\r\r",
    "0\r\n\rX", "0\n\n", "0\r\nX: y\rz\r\n\r\n",
};

static void framing(void) {
    TEST("a chunked body is its data, in every cut and byte by byte, and ends where it ends") {
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            size_t n = strlen(good[i].text), all = n - strlen(good[i].rest);
            for (size_t cut = 0; cut <= n; cut++) {
                if (!CHECK_INT(chunked(good[i].text, n, cut), all))
                    printf("    %s\n", good[i].text);
                CHECK(done());
                CHECK_STR(body.data, good[i].data);
            }
            CHECK_INT(dripped(good[i].text, n), all);
            CHECK(done());
            CHECK_STR(body.data, good[i].data);
            for (size_t cut = 0; cut < all; cut++) {
                chunked(good[i].text, cut, 0);
                CHECK(!done());
            }
        }
    }
    TEST("what breaks RFC 9112 7.1 is refused in every cut, and as soon as it is there") {
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            size_t n = strlen(bad[i]);
            int whole = 0;
            for (size_t cut = 0; cut <= n; cut++)
                whole += chunked(bad[i], n, cut) != -400;
            if (!CHECK_INT(whole, 0) || !CHECK_INT(dripped(bad[i], n), -400))
                printf("    number %lu: %s\n", (unsigned long)i, bad[i]);
        }
    }
    TEST("behind a size only a digit, ; or CR may follow, and only a digit may be first") {
        for (int c = 0; c < 256; c++) {
            char text[3] = {'1', (char)c, 0};
            int digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
            CHECK_INT(chunked(text + 1, 1, 0) == -400, !digit);
            CHECK_INT(chunked(text, 2, 0) == -400, !digit && c != ';' && c != '\r');
        }
    }
    TEST("a size has at most 63 bits, and each line and all trailers at most 1 KiB") {
        CHECK_INT(chunked("7fffffffffffffff\r\n", 18, 0), 18);
        CHECK(body.framing.left == UINT64_MAX / 2);
        CHECK_INT(chunked("8000000000000000\r\n", 18, 0), -400);
        CHECK_INT(chunked("10000000000000000\r\n", 19, 0), -400);
        char line[3000];
        for (size_t n = 1000; n < 1100; n++) {
            memset(line, '0', n), memcpy(line + n, "1\r\n", 3);
            CHECK_INT(chunked(line, n + 3, 0) == -400, n + 3 > AZC__CHUNK_LINES);
            line[1] = ';';
            CHECK_INT(chunked(line, n + 3, 0) == -400, n + 3 > AZC__CHUNK_LINES);
        }
        memcpy(line, "0\r\n", 3);
        for (size_t n = 0; n < 600; n++) memcpy(line + 3 + 4 * n, "X:\r\n", 4);
        CHECK_INT(chunked(line, 3 + 4 * 250, 0), 3 + 4 * 250);
        CHECK_INT(chunked(line, 3 + 4 * 260, 0), -400);
    }
    TEST("many chunks may each have a long line") {
        begin(AZC__CHUNK_SIZE, 0);
        char line[600] = "1;";
        memset(line + 2, 'x', 500), memcpy(line + 502, "\r\nd\r\n", 5);
        for (int i = 0; i < 100; i++) CHECK_INT(give(line, 507), 507);
        CHECK_INT(give("0\r\n\r\n", 5), 5);
        CHECK(done());
        CHECK_INT(body.len, 100);
    }
    TEST("a body with a length is that many bytes, whatever they are, in every cut") {
        static const char text[] = "\r\n0\r\n\r\nGET / HTTP/1.1";
        for (size_t left = 1; left < 20; left++) {
            for (size_t cut = 0; cut <= 20; cut++) {
                begin(AZC__BODY_WHOLE, left);
                give(text, cut);
                CHECK_INT(done(), cut >= left);
                if (!done()) give(text + cut, 20 - cut);
                CHECK(done());
                CHECK_INT(body.taken, left);
                CHECK_INT(body.len, left);
                CHECK(memcmp(body.data, text, left) == 0);
            }
        }
        begin(AZC__BODY_WHOLE, UINT64_MAX);
        CHECK_INT(give("abc", 3), 3);
        CHECK(body.framing.left == UINT64_MAX - 3 && !done());
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    framing();
    return test_end();
}
