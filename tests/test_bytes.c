/* BYTES: numbers, characters, strings, lists of strings, error texts and the version. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"

static void numbers(void) {
    TEST("hexadecimal digits: all 256 bytes") {
        for (int c = 0; c < 256; c++) {
            static const char digits[] = "0123456789abcdef0123456789ABCDEF";
            const char *at = c ? strchr(digits, c) : NULL;
            if (c >= 'A' && c <= 'F') at = strrchr(digits, c);
            char one = (char)c;
            CHECK_INT(azc__hex(&one, 1), at ? (at - digits) % 16 : -1);
            CHECK_INT(azc__digit(one), c >= '0' && c <= '9');
        }
    }
    TEST("hexadecimal numbers of several digits, and none of their digits may be bad") {
        CHECK_INT(azc__hex((const char *)placed("00fF", 4), 4), 255);
        CHECK_INT(azc__hex((const char *)placed("a5", 2), 2), 0xA5);
        CHECK_INT(azc__hex("g0", 2), -1);
        CHECK_INT(azc__hex("0g", 2), -1);
    }
    TEST("big-endian numbers of one to eight bytes") {
        static const unsigned char bytes[] = {0x81, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0xFF};
        CHECK(azc__big_endian((const unsigned char *)placed(bytes, 1), 1) == 0x81);
        CHECK(azc__big_endian((const unsigned char *)placed(bytes, 2), 2) == 0x8102);
        CHECK(azc__big_endian((const unsigned char *)placed(bytes, 8), 8) ==
              UINT64_C(0x81020304050607FF));
    }
    TEST("a rotation moves the high bits to the low end") {
        CHECK(azc__rotl(0x80000001u, 1) == 3);
        CHECK(azc__rotl(0x12345678u, 8) == 0x34567812u);
        CHECK(azc__rotl(0x12345678u, 31) == 0x091A2B3Cu);
    }
    TEST("a length of AZC_NUL is measured, any other from there on is impossible") {
        CHECK(azc__measure("hello", AZC_NUL) == 5);
        CHECK(azc__measure(placed("", 1), AZC_NUL) == 0);
        CHECK(azc__measure(NULL, AZC_NUL) == 1); /* refused as any missing bytes of a length are */
        CHECK(azc__measure("hello", AZC_NUL + 1) == SIZE_MAX);
        CHECK(azc__measure("hello", (size_t)-1) == SIZE_MAX);
        CHECK(azc__measure(NULL, (size_t)-1) == SIZE_MAX);
    }
}

static void characters(void) {
    TEST("characters of tokens (RFC 9110 5.6.2) and host names (RFC 3986 3.2.2): all 256 bytes") {
#define LETTERS "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        static const char token[] = "!#$%&'*+-.^_`|~" LETTERS, host[] = "!$%&'()*+,-.;=_~" LETTERS;
        for (int c = 0; c < 256; c++) {
            CHECK_INT(azc__char_in(AZC__TOKEN, (char)c), c != 0 && strchr(token, c) != NULL);
            CHECK_INT(azc__char_in(AZC__HOST, (char)c), c != 0 && strchr(host, c) != NULL);
        }
    }
    TEST("names are the same in any letter case of ASCII, and only of ASCII") {
        CHECK(azc__is_nocase("aBcZ", 4, "AbCz"));
        CHECK(azc__is_nocase("abcd", 3, "abc"));
        CHECK(azc__is_nocase("", 0, ""));
        CHECK(!azc__is_nocase("abc", 3, "ab") && !azc__is_nocase("ab", 2, "abc"));
        CHECK(!azc__is_nocase("abc", 3, "abd") && !azc__is_nocase("a", 1, ""));
        for (int a = 1; a < 256; a++) {
            for (int b = 1; b < 256; b++) {
                char x = (char)a, y[2] = {(char)b, 0};
                int letter = (a >= 'a' && a <= 'z' && a - 32 == b) ||
                             (b >= 'a' && b <= 'z' && b - 32 == a);
                if (azc__is_nocase(&x, 1, y) != (a == b || letter)) CHECK_INT(a, b);
            }
        }
    }
}

static void strings(void) {
    TEST("the elements of a list, without empty ones and the space around (RFC 9110 5.6.1)") {
        static const struct { const char *list, *want; } cases[] = {
            {"", ""}, {" ", ""}, {",", ""}, {" ,\t, ", ""}, {"a", "[a]"}, {" a ", "[a]"},
            {"a,b", "[a][b]"}, {"a , b", "[a][b]"}, {",a,,b,", "[a][b]"}, {"a b, c", "[a b][c]"},
            {"\ta\t,\tb\t", "[a][b]"}, {"a,", "[a]"}, {"ab,cd,ef", "[ab][cd][ef]"}};
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const char *at = (const char *)placed(cases[i].list, strlen(cases[i].list) + 1), *item;
            char out[100] = "";
            size_t len, n = 0;
            while ((item = azc__list_next(&at, &len)) != NULL)
                n += (size_t)snprintf(out + n, 50, "[%.*s]", (int)len, item);
            CHECK_STR(out, cases[i].want);
            CHECK(azc__list_next(&at, &len) == NULL);
        }
    }
    TEST("strings follow each other, and pairs are found by name") {
        static const char pairs[] = "id\0seven\0\0empty name\0rest\0\0"; /* an empty name ends it */
        static const char list[] = "id\0seven\0rest\0\0x\0last\0";
        CHECK_STR(azc__string_next(list), "seven");
        CHECK_STR(azc__pairs_find(list, "id"), "seven");
        CHECK_STR(azc__pairs_find(list, "rest"), "");
        CHECK_STR(azc__pairs_find(list, "x"), "last");
        CHECK(azc__pairs_find(list, "seven") == NULL); /* a value is no name */
        CHECK(azc__pairs_find(list, "i") == NULL && azc__pairs_find(list, "idx") == NULL);
        CHECK(azc__pairs_find(pairs, "rest") == NULL);
        CHECK(azc__pairs_find((const char *)placed("", 1), "id") == NULL);
    }
    TEST("azc_strerror has a different text for each code, and one for every other number") {
        for (int code = 10; code >= -40; code--) {
            const char *text = azc_strerror(code);
            if (!CHECK(text != NULL && *text)) printf("    %d\n", code);
            for (int k = -1; code < 0 && code >= -15 && k > code; k--)
                CHECK(strcmp(text, azc_strerror(k)) != 0);
        }
#define SAME(name, value, text)                                                                  \
    CHECK_INT(AZC_ERR_##name, value);                                                            \
    CHECK_STR(azc_strerror(AZC_ERR_##name), text);
        AZC_ERRORS(SAME)
        CHECK_STR(azc_strerror(AZC_OK), "ok");
        CHECK_STR(azc_strerror(1), azc_strerror(-16));
        CHECK_STR(azc_strerror(-2147483647 - 1), azc_strerror(2147483647));
    }
    TEST("azc_version has the three numbers of the macros") {
        char want[40];
        snprintf(want, sizeof want, "%d.%d.%d", AZCHAN_VERSION_MAJOR, AZCHAN_VERSION_MINOR,
                 AZCHAN_VERSION_PATCH);
        CHECK_STR(azc_version(), want);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    numbers();
    characters();
    strings();
    return test_end();
}
