/* JSON numbers when the program is compiled with -ffast-math, which assumes that infinity and NaN do
 * not exist: the Makefile builds this file so. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"

static double from_bits(uint64_t bits) {
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static int put(double d, char *buf, size_t size) {
    azc_writer w = azc_put_begin(buf, size);
    azc_put_double(&w, NULL, d);
    return azc_put_finish(&w);
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    TEST("with -ffast-math infinity and NaN are not written: AZC_ERR_RANGE") {
        static const uint64_t bad[] = {0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000,
                                       0xFFF8000000000000, 0x7FF0000000000001};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            char buf[64];
            CHECK_INT(put(from_bits(bad[i]), buf, sizeof buf), AZC_ERR_RANGE);
            CHECK_STR(buf, "");
        }
    }
    TEST("with -ffast-math a number past every double is not read: AZC_ERR_RANGE") {
        static const char *const over[] = {"1e999", "-1e999", "1e309", "1.8e308"};
        for (size_t i = 0; i < sizeof over / sizeof *over; i++) {
            azc_json doc;
            double d = 7;
            CHECK_INT(azc_json_read(&doc, over[i], AZC_NUL), AZC_OK);
            CHECK_INT(azc_json_double(doc, &d), AZC_ERR_RANGE);
            CHECK(d >= 0 && d <= 0);
        }
    }
    TEST("with -ffast-math every other double reads back bit by bit") {
        static const uint64_t good[] = {0, 0x8000000000000000, 1, 0x000FFFFFFFFFFFFF,
                                        0x0010000000000000, 0x3FB999999999999A,
                                        0x7FEFFFFFFFFFFFFF, 0xFFEFFFFFFFFFFFFF};
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            char buf[64];
            azc_json doc;
            double back = 7, d = from_bits(good[i]);
            CHECK_INT(put(d, buf, sizeof buf), AZC_OK);
            CHECK_INT(azc_json_read(&doc, buf, AZC_NUL), AZC_OK);
            CHECK_INT(azc_json_double(doc, &back), AZC_OK);
            if (!CHECK(memcmp(&back, &d, sizeof d) == 0)) printf("    %s\n", buf);
        }
    }
    return test_end();
}
