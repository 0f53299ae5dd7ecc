/* SHA1_BASE64: the vectors of RFC 3174 (FIPS 180), RFC 4648 and RFC 6455. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"

static const char *hex_of(const unsigned char digest[20]) {
    static char hex[41];
    for (int i = 0; i < 20; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return hex;
}

/* The padding of RFC 3174 section 4: a one bit, zeros, and the message's length in bits. */
static void sha1_padded(const void *bytes, size_t n, unsigned char digest[20]) {
    size_t all = (n + 8) / 64 * 64 + 64;
    unsigned char *p = (unsigned char *)guarded_fill(0, all);
    if (n > 0) memcpy(p, bytes, n);
    p[n] = 0x80;
    for (size_t i = 0; i < 8; i++) p[all - 1 - i] = (unsigned char)((uint64_t)n * 8 >> 8 * i);
    azc__sha1(p, all, digest);
    guarded_free(p, all);
}

static const char *sha1_of(const void *bytes, size_t n) {
    static unsigned char *digest; /* against an unreadable page, too */
    if (digest == NULL) digest = (unsigned char *)guarded_fill('?', 20);
    sha1_padded(bytes, n, digest);
    return hex_of(digest);
}

static void sha1(void) {
    TEST("SHA-1 of RFC 3174 7.3 TEST1: abc") {
        CHECK_STR(sha1_of(placed("abc", 3), 3), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
    TEST("SHA-1 of RFC 3174 7.3 TEST2: 56 bytes, whose length does not fit into their block") {
        static const char text[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        CHECK_STR(sha1_of(placed(text, 56), 56), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    }
    TEST("SHA-1 of RFC 3174 7.3 TEST3: a million times the letter a") {
        char *a = (char *)guarded_fill('a', 1000000);
        CHECK_STR(sha1_of(a, 1000000), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
        guarded_free(a, 1000000);
    }
    TEST("SHA-1 of RFC 3174 7.3 TEST4: exactly ten blocks") {
        char text[640];
        for (int i = 0; i < 640; i++) text[i] = (char)('0' + i % 8);
        CHECK_STR(sha1_of(placed(text, 640), 640), "dea356a2cddd90c7a7ecedc5ebb563934f460452");
    }
    TEST("SHA-1 of FIPS 180 for no bytes, and for no pointer") {
        CHECK_STR(sha1_of(placed("", 0), 0), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        CHECK_STR(sha1_of(NULL, 0), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    }
    TEST("SHA-1 at every length to 300: the digest of all their digests is Python's hashlib's") {
        static unsigned char text[300], all[301 * 20];
        for (int i = 0; i < 300; i++) text[i] = (unsigned char)(i * 7 + 3);
        for (size_t n = 0; n <= 300; n++) sha1_padded(text, n, all + 20 * n);
        CHECK_STR(sha1_of(all, sizeof all), "43debf5006166594c976375f1c06253e43d53ddf");
    }
}

/* ---- Base64 ---------------------------------------------------------------------------------- */

/* Into memory that ends where the text with its NUL must end. */
static const char *base64_of(const void *bytes, size_t n) {
    static char text[1024];
    size_t size = 4 * ((n + 2) / 3) + 1;
    char *out = (char *)guarded_fill('?', size);
    azc__base64((const unsigned char *)placed(bytes, n), n, out);
    memcpy(text, out, size);
    guarded_free(out, size);
    return text;
}

/* Bit by bit, as RFC 4648 section 4 words it. */
static const char *base64_wanted(const unsigned char *bytes, size_t n) {
    static char text[1024];
    size_t bits = n * 8, at = 0;
    for (size_t i = 0; i < bits; i += 6) {
        int v = 0;
        for (size_t b = i; b < i + 6; b++)
            v = v * 2 + (b < bits ? bytes[b / 8] >> (7 - b % 8) & 1 : 0);
        text[at++] = (char)(v < 26 ? 'A' + v : v < 52 ? 'a' + v - 26 : v < 62 ? '0' + v - 52
                            : v == 62 ? '+' : '/');
    }
    while (at % 4) text[at++] = '=';
    text[at] = 0;
    return text;
}

static void base64(void) {
    TEST("base64 of RFC 4648 section 10") {
        CHECK_STR(base64_of("", 0), "");
        CHECK_STR(base64_of("f", 1), "Zg==");
        CHECK_STR(base64_of("fo", 2), "Zm8=");
        CHECK_STR(base64_of("foo", 3), "Zm9v");
        CHECK_STR(base64_of("foob", 4), "Zm9vYg==");
        CHECK_STR(base64_of("fooba", 5), "Zm9vYmE=");
        CHECK_STR(base64_of("foobar", 6), "Zm9vYmFy");
    }
    TEST("base64 uses each of its 64 digits where RFC 4648 table 1 has it") {
        unsigned char bytes[48];
        for (unsigned i = 0; i < 64; i += 4) {
            unsigned v = i << 18 | (i + 1) << 12 | (i + 2) << 6 | (i + 3);
            for (unsigned k = 0; k < 3; k++)
                bytes[i / 4 * 3 + k] = (unsigned char)(v >> (16 - 8 * k));
        }
        CHECK_STR(base64_of(bytes, 48),
                  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    }
    TEST("base64 of random bytes of every length to 200 is that of its definition") {
        unsigned char bytes[200];
        for (size_t n = 0; n <= 200; n++) {
            for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)random_bits();
            CHECK_STR(base64_of(bytes, n), base64_wanted(bytes, n));
        }
    }
}

/* ---- The handshake's key --------------------------------------------------------------------- */

static int key_valid(const char *key) {
    return azc__key_valid((const char *)placed(key, strlen(key) + 1));
}

static int is_digit_of_base64(int c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           c == '+' || c == '/';
}

static void keys(void) {
    TEST("the accept key of RFC 6455 1.3") {
        char *out = (char *)guarded_fill('?', 29);
        const char *key = (const char *)placed("dGhlIHNhbXBsZSBub25jZQ==", 24);
        azc__accept_key(key, out);
        CHECK_STR(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        guarded_free(out, 29);
    }
    TEST("a key is the base64 of sixteen bytes, no more and no fewer (RFC 6455 4.1)") {
        unsigned char bytes[18] = {0};
        for (size_t n = 0; n <= 18; n++) CHECK_INT(key_valid(base64_of(bytes, n)), n == 16);
        CHECK(key_valid("dGhlIHNhbXBsZSBub25jZQ=="));
        CHECK(!key_valid("dGhlIHNhbXBsZSBub25jZQ="));
        CHECK(!key_valid("dGhlIHNhbXBsZSBub25jZQ"));
        CHECK(!key_valid("dGhlIHNhbXBsZSBub25jZQ==="));
        CHECK(!key_valid("dGhlIHNhbXBsZSBub25jZQ== "));
        CHECK(!key_valid(" dGhlIHNhbXBsZSBub25jZQ=="));
        CHECK(!key_valid("dGhlIHNhbXBsZSBub25jZ==="));
        CHECK(!key_valid("dGhlIHNhbXBsZSBub25jZQ=A"));
        CHECK(!key_valid("dGhlIHNhbXBsZSBub25jZQA="));
        CHECK(!key_valid("dGhlIHNhbXBsZSBub25jZQAA"));
        CHECK(!key_valid("dGhlIHNhbXBsZSBub25jZQ=a"));
    }
    TEST("every byte at every place of a key is a digit or refused") {
        for (int at = 0; at < 24; at++) {
            for (int c = 1; c < 256; c++) {
                char key[] = "AAAAAAAAAAAAAAAAAAAAAA==";
                key[at] = (char)c;
                int wanted = at < 21 ? is_digit_of_base64(c) : at > 21 ? c == '='
                             : c == 'A' || c == 'Q' || c == 'g' || c == 'w';
                CHECK_INT(key_valid(key), wanted);
            }
        }
    }
    TEST("every random sixteen bytes make a valid key") {
        for (int i = 0; i < 300; i++) {
            unsigned char bytes[16];
            for (int k = 0; k < 16; k++) bytes[k] = (unsigned char)random_bits();
            CHECK(key_valid(base64_of(bytes, 16)));
        }
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    sha1();
    base64();
    keys();
    return test_end();
}
