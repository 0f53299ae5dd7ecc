/* JSON: the reader by RFC 8259, the writer by the reader, numbers by IEEE 754. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE 1
#endif
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A locale with a decimal point of its own, on machines that have none installed ---------- */

static const char *small_libc; /* what snprintf writes for %g, if it cannot do better */
static const char *point = "."; /* what the two below use instead of "." */

static int local_snprintf(char *out, size_t size, const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    int n = small_libc && strchr(format, 'g') ? snprintf(text, sizeof text, "%s", small_libc)
                                              : vsnprintf(text, sizeof text, format, args);
    va_end(args);
    char *dot = strcmp(point, ".") != 0 && n < (int)sizeof text ? strchr(text, '.') : NULL;
    if (dot != NULL) {
        size_t len = strlen(point);
        memmove(dot + len, dot + 1, strlen(dot + 1) + 1);
        memcpy(dot, point, len);
        n += (int)len - 1;
    }
    if (size > 0) {
        size_t k = (size_t)n < size ? (size_t)n : size - 1;
        memcpy(out, text, k);
        out[k] = 0;
    }
    return n;
}

static double local_strtod(const char *text, char **end) {
    char plain[4096];
    size_t n = 0, len = strlen(point);
    if (strcmp(point, ".") == 0 || strlen(text) >= sizeof plain) return strtod(text, end);
    for (; *text && *text != '.'; n++) {
        if (strncmp(text, point, len) == 0) plain[n] = '.', text += len;
        else plain[n] = *text++;
    }
    plain[n] = 0;
    return strtod(plain, NULL);
}

#undef snprintf
#define snprintf local_snprintf
#define strtod local_strtod
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#undef snprintf
#undef strtod

#include "test.h"
#include "pure.h"

/* Real locales with a comma, where they are installed; then the two made here; then back. */
static int next_locale(int i) {
    static const char *const real[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8",
                                       "ps_AF.UTF-8", "ps_AF"};
    enum { REAL = sizeof real / sizeof *real };
    setlocale(LC_ALL, "C");
    point = i == REAL ? "," : i == REAL + 1 ? "\xD9\xAB" : ".";
    while (i < REAL && setlocale(LC_ALL, real[i]) == NULL) i++;
    if (i == REAL) point = ",";
    return i < REAL + 2 ? i + 1 : 0;
}
#define EACH_LOCALE for (int locale = next_locale(0); locale; locale = next_locale(locale))

/* ---- Documents ------------------------------------------------------------------------------- */

static azc_json doc; /* as last read */

/* Read n bytes that end against an unreadable page. */
static int read_bytes(const void *text, size_t n) {
    return azc_json_read(&doc, (const char *)placed(text, n), n);
}

static int reads(const char *text) { return read_bytes(text, strlen(text)); }

/* Walk all of a value; returns how many values it has, itself included. */
static size_t walk(azc_json value) {
    size_t n = 1;
    const char *end = value.text + value.len;
    for (azc_json_iter i = azc_json_each(value); azc_json_next(&i);) {
        CHECK(i.value.text > value.text && i.value.text + i.value.len < end);
        CHECK_INT(i.name.type, value.type == AZC_JSON_OBJECT ? AZC_JSON_STRING : AZC_JSON_NONE);
        n += walk(i.value);
    }
    return n;
}

/* Write a value anew, without its white space and escapes. */
static void copy(azc_writer *w, const char *name, azc_json value) {
    char text[3000], key[3000];
    double number;
    switch (value.type) {
    case AZC_JSON_STRING: {
        int n = azc_json_string(value, text, sizeof text);
        if (CHECK(n >= 0)) azc_put_text(w, name, text, (size_t)n);
        break;
    }
    case AZC_JSON_NUMBER:
        azc_json_double(value, &number);
        azc_put_double(w, name, number);
        break;
    case AZC_JSON_ARRAY: case AZC_JSON_OBJECT:
        if (value.type == AZC_JSON_ARRAY) azc_put_array(w, name);
        else azc_put_object(w, name);
        for (azc_json_iter i = azc_json_each(value); azc_json_next(&i);) {
            if (value.type == AZC_JSON_OBJECT) azc_json_string(i.name, key, sizeof key);
            copy(w, value.type == AZC_JSON_OBJECT ? key : NULL, i.value);
        }
        azc_put_end(w);
        break;
    default: azc_put_json(w, name, value);
    }
}

static const char *copied(azc_json value) {
    static char buf[10000];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    copy(&w, NULL, value);
    CHECK_INT(azc_put_finish(&w), AZC_OK);
    return buf;
}

/* Well-formed; cut anywhere it is not, unless it is a number. */
static void allow_bytes(const char *text, size_t n) {
    if (!CHECK_INT(read_bytes(text, n), AZC_OK)) {
        printf("    %.60s at %lu\n", text, (unsigned long)doc.len);
        return;
    }
    CHECK(doc.type != AZC_JSON_NONE);
    walk(doc);
    size_t start = strspn(text, " \t\r\n");
    int number = doc.type == AZC_JSON_NUMBER;
    size_t full = start + doc.len;
    CHECK(memcmp(doc.text, text + start, doc.len) == 0);
    for (size_t cut = 0; cut < full && !number; cut++) {
        if (!CHECK_INT(read_bytes(text, cut), AZC_ERR_JSON)) printf("    %.*s\n", (int)cut, text);
        CHECK(doc.type == AZC_JSON_NONE && doc.len <= cut);
    }
    for (size_t cut = full; cut <= n && !number; cut++) CHECK_INT(read_bytes(text, cut), AZC_OK);
    read_bytes(text, n);
}

static void allow(const char *text) { allow_bytes(text, strlen(text)); }

/* Not well-formed, and that is seen at the byte `bad`. */
static void refuse_bytes(const char *text, size_t n, size_t bad) {
    if (!CHECK_INT(read_bytes(text, n), AZC_ERR_JSON)) printf("    %.60s\n", text);
    CHECK_INT(doc.type, AZC_JSON_NONE);
    if (!CHECK_INT(doc.len, bad)) printf("    %.60s\n", text);
    CHECK_INT(azc_json_get(doc, "a").type, AZC_JSON_NONE);
}

static void refuse(const char *text, size_t bad) { refuse_bytes(text, strlen(text), bad); }

static void documents(void) {
    TEST("structures that RFC 8259 allows are read") {
        static const char *const good[] = {"[]", "{}", "[[]]", "[{}]", "{\"a\":{}}", "{\"a\":[]}",
            " [ ] ", "\t\r\n{ \n}\t", "[1]", "[1,2]", "[ 1 , 2 ]", "[1 ]", "[null,true,false]",
            "{\"a\":1}", "{ \"a\" : 1 , \"b\" : 2 }", "{\"\":0}", "{\"a\":1,\"a\":2}",
            "{\"a\":\"b\",\"a\":\"b\"}", "[[1,2],[3,[4]],{\"a\":[5]}]", "[[],[],{},{}]", "[\"\"]",
            "[[[[[[[[]]]]]]]]", "{\"a\":{\"b\":{\"c\":[{\"d\":null}]}}}", "[\"a\",\"]\",\"[\"]",
            "{\"}\":\"{\"}", "[\"\\\"]\"]", "[\"\\\\\"]", "{\"\\\"\":\"\\\\\"}",
            "null", "true", "false", "\"\"", "\"a\"", " null ", "\n\"a\"\n", "[\n]", "{\r\n}",
            "[1\n]", "[null, 1, \"1\", {}]", "{\"a\":[],\"b\":{}, \"c\":\"\"}"};
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) allow(good[i]);
    }
    TEST("numbers that RFC 8259 section 6 allows are read") {
        static const char *const good[] = {"0", "-0", "1", "-1", "10", "123", "0.0", "-0.0", "0.1",
            "1.5", "-1.25", "1e1", "1E1", "1e+1", "1E+1", "1e-1", "1E-1", "0e0", "0E+0", "-0e-0",
            "1.0e10", "123e65", "123.456e78", "1e00", "1e001", "1000000000000000000000000000000",
            "0.00000000000000000000000000001", "1e400", "-1e-400", "123123e100000", " 4 ", "[-0]",
            "[123.456e-789]", "[0.4e006]", "[-237462374673276894279832749832423479823246327846]"};
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) allow(good[i]);
    }
    TEST("strings that RFC 8259 section 7 allows are read") {
        static const char *const good[] = {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\u0000\"",
            "\"\\u0061\"", "\"\\uabCD\"", "\"\\uD7FF\\uE000\"", "\"\\uD800\\uDC00\"",
            "\"\\uDBFF\\uDFFF\"", "\"\\ud83d\\ude00\"", "\"\\uFFFE\\uFFFF\"", "\"\x7F\"", "\"/\"",
            "\"\xC3\xA4\"", "\"\xE2\x82\xAC\"", "\"\xF0\x9F\x98\x80\"", "\"\xF4\x8F\xBF\xBF\"",
            "\"\xEF\xBF\xBF\"", "\"\xE2\x80\xA8\xE2\x80\xA9\"", "\"\xEF\xBB\xBF\"", "\"\\u0022\"",
            "\"\\u005C\"", "\"\\\\u0061\"", "\"\\\\\\u0061\"", "\"a\\u0000b\"", "\"'\"",
            "\"[,]{:}\"",
            "[\"\\uDBFF\\uDFFE\"]", "\"\\\\n\""};
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) allow(good[i]);
    }
    TEST("structures that are broken are refused, at the byte that breaks them") {
        refuse("", 0), refuse(" ", 1), refuse("[", 1), refuse("{", 1), refuse("]", 0);
        refuse("}", 0), refuse("[1", 2), refuse("[1,", 3), refuse("[1,]", 3), refuse("[,]", 1);
        refuse("[,1]", 1), refuse("[1,,2]", 3), refuse("[1 2]", 3), refuse("[1;2]", 2);
        refuse("[1}", 2), refuse("{]", 1), refuse("[}", 1), refuse("{\"a\":1]", 6);
        refuse("[]]", 2), refuse("{}}", 2), refuse("[][]", 2), refuse("{}{}", 2), refuse("[],", 2);
        refuse("1,", 1), refuse("1 2", 2), refuse("[]a", 2), refuse("\"\"\"\"", 2);
        refuse("{\"a\"}", 4), refuse("{\"a\":}", 5), refuse("{\"a\":1,}", 7), refuse("{,}", 1);
        refuse("{:1}", 1), refuse("{a:1}", 1), refuse("{'a':1}", 1), refuse("{1:1}", 1);
        refuse("{null:1}", 1), refuse("{\"a\",1}", 4), refuse("{\"a\"::1}", 5);
        refuse("{\"a\" 1}", 5), refuse("{\"a\":1 \"b\":2}", 7), refuse("{\"a\":1,,\"b\":2}", 7);
        refuse("{\"a\":1,2}", 7), refuse("{\"a\":1:2}", 6), refuse("{[]:1}", 1), refuse("[1:2]", 2);
        refuse("[\"a\":1]", 4), refuse("{\"a\":[}", 6), refuse("[{]", 2), refuse("{\"a\":1", 6);
        refuse("{\"a\":", 5), refuse("{\"a\"", 4), refuse("{\"a", 3), refuse("{\"a\":1,", 7);
        refuse("[[]", 3), refuse("[[],", 4), refuse("[1]x", 3), refuse("[1]]", 3);
        refuse("/**/1", 0), refuse("1//", 1), refuse("[1/**/]", 2), refuse("#", 0), refuse("*", 0);
        refuse("<null>", 0), refuse("\\u0061", 0), refuse("'a'", 0), refuse("a", 0),
            refuse("(1)", 0);
        refuse("[1]\f", 3), refuse("\v1", 0), refuse("\f[]", 0), refuse("[\f]", 1);
        refuse("\xEF\xBB\xBF[]", 0), refuse("\xC2\xA0[]", 0), refuse("[]\xE2\x81\xA0", 2);
        refuse("\xFE\xFF", 0), refuse("[\xFF]", 1), refuse("[\x7F]", 1);
        refuse_bytes("1\0", 2, 1), refuse_bytes("[\0]", 3, 1), refuse_bytes("\0", 1, 0);
        refuse_bytes("[1]\0", 4, 3), refuse_bytes("nu\0l", 4, 2);
    }
    TEST("words are null, true and false in small letters, whole") {
        refuse("nul", 3), refuse("nulll", 4), refuse("Null", 0), refuse("NULL", 0),
            refuse("nuLl", 2);
        refuse("tru", 3), refuse("truth", 3), refuse("True", 0), refuse("t", 1), refuse("f", 1);
        refuse("fals", 4), refuse("falsE", 4), refuse("FALSE", 0), refuse("n", 1), refuse("nan", 1);
        refuse("NaN", 0), refuse("Infinity", 0), refuse("undefined", 0), refuse("[truefalse]", 5);
        refuse("[nul]", 4), refuse("[tru,1]", 4), refuse("[true1]", 5);
    }
    TEST("numbers that only look like ones are refused") {
        refuse("-", 1), refuse("+1", 0), refuse("01", 1), refuse("00", 1), refuse("-01", 2);
        refuse("-00", 2), refuse("012.5", 1), refuse(".5", 0), refuse("-.5", 1), refuse("1.", 2);
        refuse("-1.", 3), refuse("0.", 2), refuse("1.e1", 2), refuse("1.5.5", 3), refuse("1..5", 2);
        refuse("1e", 2), refuse("1e+", 3), refuse("1e-", 3), refuse("1E", 2), refuse("1ee1", 2);
        refuse("1e+-1", 3), refuse("1e1.5", 3), refuse("0e", 2), refuse("1e1e1", 3),
            refuse("--1", 1);
        refuse("-+1", 1), refuse("0x10", 1), refuse("1_000", 1), refuse("1,5", 1), refuse("1f", 1);
        refuse("-a", 1), refuse("- 1", 1), refuse("-Infinity", 1), refuse("-NaN", 1),
            refuse("1 000", 2);
        refuse("\xEF\xBC\x91", 0), refuse("[1.]", 3), refuse("[-]", 2), refuse("[1e]", 3);
        refuse("[0 1]", 3), refuse("[1+2]", 2), refuse("1-", 1), refuse("[01]", 2);
    }
    TEST("strings with bare control characters, bad escapes or bad UTF-8 are refused") {
        refuse("\"", 1), refuse("\"a", 2), refuse("\"\\\"", 3), refuse("\"\\", 1);
        for (int c = 1; c < 32; c++) {
            char text[] = "\"a?b\"";
            text[2] = (char)c;
            refuse(text, 2);
        }
        refuse_bytes("\"a\0b\"", 5, 2);
        for (int c = 0; c < 256; c++) {
            char text[] = "\"\\?\"";
            text[2] = (char)c;
            if (c == 0 || !strchr("\"\\/bfnrt", c)) refuse_bytes(text, 4, 1);
        }
        refuse("\"\\u\"", 1), refuse("\"\\u0\"", 1), refuse("\"\\u00\"", 1),
            refuse("\"\\u000\"", 1);
        refuse("\"\\u000g\"", 1), refuse("\"\\ug000\"", 1), refuse("\"\\u-001\"", 1);
        refuse("\"\\u 001\"", 1), refuse("\"\\U0061\"", 1), refuse("\"\\u0x61\"", 1);
        refuse("\"ab\\u12\"", 3), refuse("\"\\x61\"", 1), refuse("\"\\'\"", 1),
            refuse("\"\\0\"", 1);
        refuse("\"\x80\"", 1), refuse("\"\xC0\x80\"", 1), refuse("\"\xC3\"", 2);
        refuse("\"\xC3(\"", 2), refuse("\"\xED\xA0\x80\"", 2), refuse("\"\xF4\x90\x80\x80\"", 2);
        refuse("\"\xE2\x82\"", 3), refuse("\"\xFF\"", 1), refuse("\"a\xE0\x9F\x80\"", 3);
        refuse("\"\xC3\\u0061\"", 2), refuse("{\"\xFF\":1}", 2), refuse("{\"\\q\":1}", 2);
        refuse("{\"a\n\":1}", 3);
    }
    TEST("half a surrogate pair is refused, in names too (the manual's RFC COVERAGE)") {
        refuse("\"\\uD800\"", 1), refuse("\"\\uDBFF\"", 1), refuse("\"\\uDC00\"", 1);
        refuse("\"\\uDFFF\"", 1), refuse("\"\\uD800\\uD800\"", 1), refuse("\"\\uDC00\\uD800\"", 1);
        refuse("\"\\uD800a\"", 1), refuse("\"\\uD800\\n\"", 1), refuse("\"\\uD800\\u\"", 1);
        refuse("\"\\uD800\\u0061\"", 1), refuse("\"\\uD800\\uDBFF\"", 1),
            refuse("\"\\ud800\\ue000\"", 1);
        refuse("\"\\uD800\\uDC0\"", 1), refuse("\"\\uD800\\uDC0g\"", 1),
            refuse("\"\\uD800/uDC00\"", 1);
        refuse("\"\\uD800\\UDC00\"", 1), refuse("\"\\uD800\\uDC00\\uDC00\"", 13);
        refuse("\"\\uD800", 1), refuse("\"\\uD800\\uDC00", 13), refuse("{\"\\uD800\":1}", 2);
    }
    TEST("depth 64 is read, 65 is refused at the bracket, whatever the containers are") {
        for (int kind = 0; kind < 3; kind++) {
            for (size_t depth = 62; depth <= 66; depth++) {
                char text[700] = "";
                size_t n = 0, at = 0;
                for (size_t i = 0; i < depth; i++) {
                    int object = kind == 1 || (kind == 2 && i % 2);
                    if (i == 64) at = n;
                    n += (size_t)snprintf(text + n, 8, object && i + 1 < depth ? "{\"a\":"
                                          : object ? "{" : "[");
                }
                for (size_t i = depth; i-- > 0;)
                    text[n++] = kind == 1 || (kind == 2 && i % 2) ? '}' : ']';
                if (depth <= 64) {
                    allow_bytes(text, n);
                    CHECK_INT(walk(doc), depth);
                    CHECK(strncmp(copied(doc), text, n) == 0);
                } else refuse_bytes(text, n, at);
            }
        }
        char wide[300] = "[";
        for (int i = 0; i < 70; i++) strcat(wide, "[],");
        strcat(wide, "0]"); /* closed ones do not count */
        allow(wide);
    }
    TEST("NULL is an argument that is refused") {
        CHECK_INT(azc_json_read(NULL, "1", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_json_read(&doc, NULL, 0), AZC_ERR_ARGUMENT);
        CHECK_INT(doc.type, AZC_JSON_NONE);
    }
    TEST("a randomly damaged document is refused, or read and written again equal") {
        static const char whole[] = "{\"a\":[1,-2.5e3,\"x\\u00e4\\n\",{}],\"b\":{\"c\":null,"
                                    "\"d\":[true,false]},\"\xE2\x82\xAC\":\"\\ud83d\\ude00\"} ";
        static const char bytes[] = "{}[]:,\"\\ -+.eE019ntfu\n\x80\xC3";
        int good = 0;
        for (int i = 0; i < 100000; i++) {
            char text[sizeof whole], again[sizeof whole * 2];
            memcpy(text, whole, sizeof whole);
            for (size_t n = 1 + random_below(2); n > 0; n--)
                text[random_below(sizeof whole - 1)] = bytes[random_below(sizeof bytes - 1)];
            size_t len = random_below(4) ? sizeof whole - 1 : random_below(sizeof whole);
            if (read_bytes(text, len) != AZC_OK) {
                CHECK(doc.len <= len && doc.type == AZC_JSON_NONE);
                continue;
            }
            good++;
            walk(doc);
            snprintf(again, sizeof again, "%s", copied(doc));
            if (!CHECK_INT(reads(again), AZC_OK)) break;
            if (!CHECK_STR(copied(doc), again)) break;
        }
        CHECK(good > 1000);
    }
}

/* ---- Looking into values --------------------------------------------------------------------- */

static const char *string_of(azc_json value) {
    static char buf[3000];
    int n = azc_json_string(value, buf, sizeof buf);
    return n >= 0 ? buf : NULL;
}

static void looking(void) {
    TEST("members by name, the last of several; a missing one is NONE, and so are its members") {
        reads("{\"a\":1,\"b\":{\"c\":\"d\"},\"a\":[2],\"\":3,\"null\":null}");
        CHECK_INT(azc_json_get(doc, "a").type, AZC_JSON_ARRAY);
        CHECK_STR(string_of(azc_json_get(azc_json_get(doc, "b"), "c")), "d");
        CHECK_INT(azc_json_get(doc, "").type, AZC_JSON_NUMBER);
        CHECK_INT(azc_json_get(doc, "null").type, AZC_JSON_NULL);
        CHECK_INT(azc_json_get(doc, "c").type, AZC_JSON_NONE);
        CHECK_INT(azc_json_get(doc, "aa").type, AZC_JSON_NONE);
        CHECK_INT(azc_json_get(doc, NULL).type, AZC_JSON_NONE);
        azc_json none = azc_json_at(azc_json_get(azc_json_get(doc, "x"), "y"), 3);
        CHECK(none.type == AZC_JSON_NONE && none.len == 0 && none.text != NULL);
        CHECK_INT(azc_json_get(azc_json_get(doc, "a"), "a").type, AZC_JSON_NONE);
        CHECK_INT(azc_json_at(doc, 0).type, AZC_JSON_NONE);
    }
    TEST("names are compared after decoding") {
        reads("{\"\\u0061\":1,\"\\u20ac\":2,\"\xC3\xA4\":3,\"x\\u0000y\":4,\"\\ud83d\\ude00\":5,"
              "\"q\\\"\\\\\\/\\n\":6}");
        static const struct { const char *name; int64_t want; } names[] = {{"a", 1},
            {"\xE2\x82\xAC", 2}, {"\xC3\xA4", 3}, {"\xF0\x9F\x98\x80", 5}, {"q\"\\/\n", 6}};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            int64_t n = 0;
            CHECK_INT(azc_json_int(azc_json_get(doc, names[i].name), &n), AZC_OK);
            CHECK_INT(n, names[i].want);
        }
        CHECK_INT(azc_json_get(doc, "x").type, AZC_JSON_NONE); /* the NUL is part of that name */
        CHECK_INT(azc_json_get(doc, "\\u0061").type, AZC_JSON_NONE);
        reads("{\"a\":1,\"\\u0061\":2}");
        int64_t n = 0;
        azc_json_int(azc_json_get(doc, "a"), &n);
        CHECK_INT(n, 2);
    }
    TEST("elements by index, as they lie in the text") {
        reads("[ 10 , [ 20 , 21 ] , {\"a\":30} ,\"40\",null,true , \"]\" ]");
        static const char *const want[] = {"10", "[ 20 , 21 ]", "{\"a\":30}", "\"40\"", "null",
                                           "true", "\"]\""};
        static const int types[] = {AZC_JSON_NUMBER, AZC_JSON_ARRAY, AZC_JSON_OBJECT,
            AZC_JSON_STRING, AZC_JSON_NULL, AZC_JSON_BOOL, AZC_JSON_STRING};
        for (size_t i = 0; i < 7; i++) {
            azc_json value = azc_json_at(doc, i);
            CHECK_INT(value.type, types[i]);
            CHECK_INT(value.len, strlen(want[i]));
            CHECK(memcmp(value.text, want[i], value.len) == 0);
        }
        CHECK_INT(azc_json_at(doc, 7).type, AZC_JSON_NONE);
        CHECK_INT(azc_json_at(doc, (size_t)-1).type, AZC_JSON_NONE);
        CHECK_INT(azc_json_at(azc_json_at(doc, 1), 1).len, 2);
        CHECK_INT(azc_json_get(doc, "0").type, AZC_JSON_NONE);
        reads("[]");
        CHECK_INT(azc_json_at(doc, 0).type, AZC_JSON_NONE);
    }
    TEST("an array has a count of elements, an object of members, and another value has none") {
        static const struct { const char *text; size_t count; } values[] = {
            {" [ 10 , [ 20 , 21 ] , {\"a\":30} ,\"4,0\",null,true , \"]\" ] ", 7},
            {"[]", 0}, {"[ ]", 0}, {"[[]]", 1}, {"[[1,2],[3]]", 2}, {"{}", 0}, {"{ }", 0},
            {"{\"a\":[1,2,3],\"b\":{},\"a\":2}", 3}, {"null", 0}, {"7", 0}, {"\"1,2\"", 0}};
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            reads(values[i].text);
            CHECK_INT(azc_json_count(doc), values[i].count);
        }
        CHECK_INT(azc_json_count(azc_json_get(doc, "none")), 0);
    }
    TEST("a walk visits each member once, in order, and none in a value without members") {
        reads(" { \"a\" : 1 ,\"b\":[2,3] , \"c\":{\"d\":4}} ");
        char seen[100] = "";
        for (azc_json_iter i = azc_json_each(doc); azc_json_next(&i);) {
            strcat(seen, string_of(i.name));
            strncat(seen, i.value.text, i.value.len);
            strcat(seen, ";");
        }
        CHECK_STR(seen, "a1;b[2,3];c{\"d\":4};");
        static const char *const flat[] = {"1", "\"a,b\"", "null", "true", "[]", "{}", " [ ] "};
        for (size_t i = 0; i < sizeof flat / sizeof *flat; i++) {
            reads(flat[i]);
            azc_json_iter iter = azc_json_each(doc);
            CHECK(!azc_json_next(&iter) && !azc_json_next(&iter));
            CHECK_INT(iter.value.type, AZC_JSON_NONE);
        }
        azc_json_iter iter = azc_json_each(azc_json_get(doc, "none"));
        CHECK(!azc_json_next(&iter));
        CHECK(!azc_json_next(NULL));
    }
    TEST("strings decoded: every escape, pairs, NUL") {
        char buf[100];
        reads("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e4\\u20AC\\uD83D\\ude00\xC3\xA4\"");
        static const char want[] = "\"\\/\b\f\n\r\tA\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\xC3\xA4";
        CHECK_INT(azc_json_string(doc, buf, sizeof buf), strlen(want));
        CHECK_STR(buf, want);
        CHECK_INT(azc_json_string(doc, NULL, 0), strlen(want));
        reads("\"a\\u0000b\"");
        CHECK_INT(azc_json_string(doc, buf, sizeof buf), 3);
        CHECK(memcmp(buf, "a\0b", 4) == 0);
        CHECK(!azc_json_equals(doc, "a"));
        reads("\"\\uDBFF\\uDFFF\\uD800\\uDC00\\uFFFF\\u0800\\u07FF\\u0080\\u007f\"");
        CHECK_STR(string_of(doc), "\xF4\x8F\xBF\xBF\xF0\x90\x80\x80\xEF\xBF\xBF\xE0\xA0\x80\xDF\xBF"
                                  "\xC2\x80\x7F");
        reads("\"\"");
        CHECK_INT(azc_json_string(doc, buf, sizeof buf), 0);
        CHECK_STR(buf, "");
    }
    TEST("a string into every size of buffer: whole characters, a NUL, never a byte too far") {
        static const char want[] = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80z";
        static const size_t whole[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11};
        char text[] = "\"a\\u00e4\xE2\x82\xAC\\uD83D\\uDE00z\"";
        reads(text);
        for (size_t size = 0; size <= sizeof want + 2; size++) {
            char *buf = (char *)guarded_fill('?', size);
            int n = azc_json_string(doc, buf, size);
            if (size >= sizeof want) CHECK_INT(n, sizeof want - 1);
            else CHECK_INT(n, AZC_ERR_FULL);
            size_t kept = size == 0 ? 0 : size >= sizeof want ? 11 : whole[size - 1];
            if (size > 0) {
                CHECK_INT(strlen(buf), kept);
                CHECK(memcmp(buf, want, kept) == 0);
            }
            guarded_free(buf, size);
        }
    }
    TEST("azc_json_equals compares whole decoded strings, and no other type") {
        reads("\"a\\u00e4\\n\"");
        CHECK(azc_json_equals(doc, "a\xC3\xA4\n"));
        CHECK(!azc_json_equals(doc, "a\xC3\xA4"));
        CHECK(!azc_json_equals(doc, "a\xC3\xA4\n "));
        CHECK(!azc_json_equals(doc, "a\xC3\xA5\n"));
        CHECK(!azc_json_equals(doc, "") && !azc_json_equals(doc, NULL));
        CHECK(!azc_json_equals(doc, (const char *)placed("a\xC3", 3))); /* ends in the middle */
        reads("\"\"");
        CHECK(azc_json_equals(doc, "") && !azc_json_equals(doc, "a"));
        reads("12");
        CHECK(!azc_json_equals(doc, "12"));
        reads("null");
        CHECK(!azc_json_equals(doc, "null") && !azc_json_equals(azc_json_get(doc, "x"), ""));
    }
    TEST("reading another type is AZC_ERR_TYPE, and the result is zero") {
        static const char *const texts[] = {"null", "true", "1", "\"1\"", "[1]", "{\"a\":1}"};
        for (int i = 0; i < 7; i++) {
            if (i < 6) reads(texts[i]);
            else doc = azc_json_get(doc, "none");
            double d = 7;
            int64_t n = 7;
            uint64_t u = 7;
            int b = 7;
            char buf[4] = "777";
            CHECK_INT(azc_json_double(doc, &d), i == 2 ? AZC_OK : AZC_ERR_TYPE);
            CHECK_INT(azc_json_int(doc, &n), i == 2 ? AZC_OK : AZC_ERR_TYPE);
            CHECK_INT(azc_json_uint(doc, &u), i == 2 ? AZC_OK : AZC_ERR_TYPE);
            CHECK_INT(azc_json_bool(doc, &b), i == 1 ? AZC_OK : AZC_ERR_TYPE);
            CHECK_INT(azc_json_string(doc, buf, sizeof buf), i == 3 ? 1 : AZC_ERR_TYPE);
            CHECK(d == (i == 2) && n == (i == 2) && u == (i == 2) && b == (i == 1));
            CHECK_STR(buf, i == 3 ? "1" : "");
        }
        reads("false");
        int b = 7;
        CHECK_INT(azc_json_bool(doc, &b), AZC_OK);
        CHECK_INT(b, 0);
        CHECK_INT(azc_json_bool(doc, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_json_double(doc, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_json_int(doc, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_json_uint(doc, NULL), AZC_ERR_ARGUMENT);
    }
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static char zeros[3000]; /* a long number */

static void integers(void) {
    TEST("exact integers in any notation; fractions and too large numbers are AZC_ERR_RANGE") {
        enum { OK = AZC_OK, NO = AZC_ERR_RANGE };
        static const struct {
            const char *text;
            int i64;
            int64_t i;
            int u64;
            uint64_t u;
        } cases[] = {
            {"0", OK, 0, OK, 0}, {"-0", OK, 0, OK, 0}, {"1", OK, 1, OK, 1}, {"-1", OK, -1, NO, 0},
            {"0.0", OK, 0, OK, 0}, {"0e999999999999", OK, 0, OK, 0}, {"-0.000e-99", OK, 0, OK, 0},
            {"1e2", OK, 100, OK, 100}, {"1E2", OK, 100, OK, 100}, {"1e+2", OK, 100, OK, 100},
            {"1.5e1", OK, 15, OK, 15}, {"1.50e1", OK, 15, OK, 15}, {"1.0", OK, 1, OK, 1},
            {"100e-2", OK, 1, OK, 1}, {"-120e-1", OK, -12, NO, 0}, {"0.001e3", OK, 1, OK, 1},
            {"1.5", NO, 0, NO, 0}, {"1e-1", NO, 0, NO, 0}, {"0.1", NO, 0, NO, 0},
            {"-0.5", NO, 0, NO, 0},
            {"1.05e1", NO, 0, NO, 0}, {"1e-400", NO, 0, NO, 0}, {"1e400", NO, 0, NO, 0},
            {"1e99999999999999999999", NO, 0, NO, 0}, {"1e-99999999999999999999", NO, 0, NO, 0},
            {"9007199254740992", OK, 9007199254740992, OK, 9007199254740992u},
            {"9007199254740993", OK, 9007199254740993, OK, 9007199254740993u},
            {"-9007199254740993", OK, -9007199254740993, NO, 0},
            {"999999999999999999", OK, 999999999999999999, OK, 999999999999999999u},
            {"1e18", OK, 1000000000000000000, OK, 1000000000000000000u},
            {"9223372036854775806", OK, INT64_MAX - 1, OK, INT64_MAX - 1},
            {"9223372036854775807", OK, INT64_MAX, OK, INT64_MAX},
            {"9223372036854775807.0", OK, INT64_MAX, OK, INT64_MAX},
            {"9.223372036854775807e18", OK, INT64_MAX, OK, INT64_MAX},
            {"9223372036854775808", NO, 0, OK, (uint64_t)1 << 63},
            {"-9223372036854775807", OK, -INT64_MAX, NO, 0},
            {"-9223372036854775808", OK, INT64_MIN, NO, 0},
            {"-9223372036854775809", NO, 0, NO, 0},
            {"9223372036854775807.5", NO, 0, NO, 0},
            {"1e19", NO, 0, OK, 10000000000000000000u},
            {"18446744073709551614", NO, 0, OK, UINT64_MAX - 1},
            {"18446744073709551615", NO, 0, OK, UINT64_MAX},
            {"1844674407370955161.5e1", NO, 0, OK, UINT64_MAX},
            {"18446744073709551616", NO, 0, NO, 0}, {"18446744073709551617", NO, 0, NO, 0},
            {"18446744073709551620", NO, 0, NO, 0}, {"18446744073709551625", NO, 0, NO, 0},
            {"-18446744073709551615", NO, 0, NO, 0}, {"-18446744073709551616", NO, 0, NO, 0},
            {"27670116110564327424", NO, 0, NO, 0}, {"36893488147419103232", NO, 0, NO, 0},
            {"99999999999999999999", NO, 0, NO, 0}, {"100000000000000000000", NO, 0, NO, 0},
            {"1e20", NO, 0, NO, 0}, {"340282366920938463463374607431768211456", NO, 0, NO, 0}};
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            int64_t i = 7;
            uint64_t u = 7;
            CHECK_INT(reads(cases[k].text), AZC_OK);
            int ok = CHECK_INT(azc_json_int(doc, &i), cases[k].i64) & CHECK_INT(i, cases[k].i);
            ok &= CHECK_INT(azc_json_uint(doc, &u), cases[k].u64) & CHECK(u == cases[k].u);
            if (!ok) printf("    %s\n", cases[k].text);
        }
    }
    TEST("a thousand zeros before or behind the point do not hide an integer") {
        int64_t i = 0;
        memset(zeros, '0', sizeof zeros);
        char *text = zeros; /* 1000...000e-1000 */
        text[0] = '1';
        strcpy(text + 1001, "e-1000");
        CHECK_INT(reads(text), AZC_OK);
        CHECK_INT(azc_json_int(doc, &i), AZC_OK);
        CHECK_INT(i, 1);
        memset(zeros, '0', sizeof zeros); /* 0.000...0012e1002 */
        text[1] = '.';
        strcpy(text + 1002, "12e1002");
        CHECK_INT(reads(text), AZC_OK);
        CHECK_INT(azc_json_int(doc, &i), AZC_OK);
        CHECK_INT(i, 12);
        memset(zeros, '0', sizeof zeros); /* 5.000...000 */
        text[0] = '5', text[1] = '.', text[2000] = 0;
        CHECK_INT(reads(text), AZC_OK);
        CHECK_INT(azc_json_int(doc, &i), AZC_OK);
        CHECK_INT(i, 5);
        text[1999] = '1';
        CHECK_INT(reads(text), AZC_OK);
        CHECK_INT(azc_json_int(doc, &i), AZC_ERR_RANGE);
    }
    TEST("every integer that is written is read again, from around every power of two and ten") {
        uint64_t ten = 1;
        for (int bit = 0; bit < 64 + 20; bit++, ten = bit > 64 ? ten * 10 : 1) {
            for (int off = -2; off <= 2; off++) {
                uint64_t u = (bit < 64 ? (uint64_t)1 << bit : ten) + (uint64_t)off, back = 7;
                int64_t i, signed_back = 7;
                memcpy(&i, &u, sizeof i);
                char buf[64], want[64];
                azc_writer w = azc_put_begin(buf, sizeof buf);
                azc_put_array(&w, NULL), azc_put_uint(&w, NULL, u), azc_put_int(&w, NULL, i);
                azc_put_end(&w);
                CHECK_INT(azc_put_finish(&w), AZC_OK);
                snprintf(want, sizeof want, "[%llu,%lld]", (unsigned long long)u, (long long)i);
                CHECK_STR(buf, want);
                CHECK_INT(reads(buf), AZC_OK);
                CHECK_INT(azc_json_uint(azc_json_at(doc, 0), &back), AZC_OK);
                CHECK_INT(azc_json_int(azc_json_at(doc, 1), &signed_back), AZC_OK);
                CHECK(back == u && signed_back == i);
            }
        }
    }
}

static uint64_t bits_of(double d) {
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

static double from_bits(uint64_t bits) {
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static double number(const char *text, int *error) {
    double d = 7;
    CHECK_INT(reads(text), AZC_OK);
    *error = azc_json_double(doc, &d);
    return d;
}

static void expect_double(const char *text, uint64_t bits) {
    int error;
    double d = number(text, &error);
    if (!CHECK(error == AZC_OK && bits_of(d) == bits))
        printf("    %.60s: %d, %.17g, not %.17g\n", text, error, d, from_bits(bits));
}

/* The decimal digits of m * 2^e exactly, as an integer and a power of ten. */
static const char *exact_decimal(uint64_t m, int e) {
    static char text[1300];
    unsigned char digits[1200] = {0}; /* least first */
    int n = 0;
    for (; m > 0; m /= 10) digits[n++] = (unsigned char)(m % 10);
    for (int k = 0; k < (e < 0 ? -e : e); k++) {
        unsigned carry = 0;
        for (int i = 0; i < n || carry; i++) {
            unsigned v = (i < n ? digits[i] : 0u) * (e < 0 ? 5 : 2) + carry;
            digits[i] = (unsigned char)(v % 10);
            carry = v / 10;
            if (i >= n) n = i + 1;
        }
    }
    for (int i = 0; i < n; i++) text[i] = (char)('0' + digits[n - 1 - i]);
    sprintf(text + n, "e%d", e < 0 ? e : 0);
    return text;
}

/* The halfway point above the double of these bits goes to the even one; a trace more or less,
 * however far behind, goes up or down. */
static void expect_halfway(uint64_t bits) {
    char text[4000], half[1300];
    uint64_t fraction = bits & (((uint64_t)1 << 52) - 1);
    int exponent = (int)(bits >> 52);
    uint64_t m = (exponent ? fraction | (uint64_t)1 << 52 : fraction) * 2 + 1;
    strcpy(half, exact_decimal(m, (exponent ? exponent : 1) - 1075 - 1));
    char *e = strchr(half, 'e');
    size_t n = (size_t)(e - half);
    int power = atoi(e + 1);
    expect_double(half, bits + (bits & 1));
    for (int pad = 0; pad <= 1500; pad += pad < 20 ? 19 : 370) { /* above: ...000001 */
        sprintf(text, "%.*s%0*d1e%d", (int)n, half, pad + 1, 0, power - pad - 2);
        expect_double(text, bits + 1);
        sprintf(text, "%.*s.%0*d1e%d", (int)n, half, pad + 1, 0, power);
        expect_double(text, bits + 1);
    }
    size_t last = n - 1;
    while (half[last] == '0') half[last--] = '9';
    half[last]--;
    for (int pad = 0; pad <= 1500; pad += pad < 20 ? 19 : 370) { /* below: ...99999 */
        size_t k = (size_t)sprintf(text, "%.*s", (int)n, half);
        memset(text + k, '9', (size_t)pad + 1);
        sprintf(text + k + pad + 1, "e%d", power - pad - 1);
        expect_double(text, bits);
    }
}

static void doubles(void) {
    TEST("doubles are the nearest ones, at every edge of their range") {
        EACH_LOCALE {
            static const struct { const char *text; uint64_t bits; } cases[] = {
                {"0", 0}, {"0.0", 0}, {"0e5", 0}, {"1", 0x3FF0000000000000},
                {"-1", 0xBFF0000000000000},
                {"0.1", 0x3FB999999999999A}, {"0.5", 0x3FE0000000000000},
                {"1.5", 0x3FF8000000000000},
                {"1e2", 0x4059000000000000}, {"1E2", 0x4059000000000000},
                {"100", 0x4059000000000000},
                {"1e23", 0x44B52D02C7E14AF6}, {"1e22", 0x4480F0CF064DD592},
                {"3.141592653589793", 0x400921FB54442D18},
                {"9007199254740991", 0x433FFFFFFFFFFFFF}, {"9007199254740992", 0x4340000000000000},
                {"9007199254740993", 0x4340000000000000}, {"9007199254740995", 0x4340000000000002},
                {"9223372036854775807", 0x43E0000000000000},
                {"9223372036854775808", 0x43E0000000000000},
                {"18446744073709551615", 0x43F0000000000000},
                {"18446744073709551616", 0x43F0000000000000},
                {"5e-324", 1}, {"4.9406564584124654e-324", 1}, {"4e-324", 1},
                {"-5e-324", 0x8000000000000001},
                {"2.4703282292062328e-324", 1}, {"2.4703282292062327e-324", 0}, {"1e-324", 0},
                {"1e-400", 0}, {"1e-99999999999", 0}, {"-1e-400", 0x8000000000000000},
                {"2.2250738585072014e-308", 0x0010000000000000},
                {"2.2250738585072011e-308", 0x000FFFFFFFFFFFFF},
                {"2.2250738585072012e-308", 0x0010000000000000},
                {"1.7976931348623157e308", 0x7FEFFFFFFFFFFFFF},
                {"-1.7976931348623157e+308", 0xFFEFFFFFFFFFFFFF},
                {"1.7976931348623158e308", 0x7FEFFFFFFFFFFFFF},
                {"17976931348623157e292", 0x7FEFFFFFFFFFFFFF}};
            for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
                expect_double(cases[i].text, cases[i].bits);
            expect_double("0.000001e314", bits_of(1e308));
        }
    }
    TEST("minus zero keeps its sign, as IEEE 754 and JSON.parse have it") {
        static const char *const zeros[] = {"-0", "-0.0", "-0e1", "-0.000e-999"};
        for (size_t i = 0; i < 4; i++) expect_double(zeros[i], 0x8000000000000000);
    }
    TEST("a number past every double is AZC_ERR_RANGE and zero, not infinity") {
        EACH_LOCALE {
            static const char *const over[] = {"1e309", "-1e309", "1e400", "1.7976931348623159e308",
                "1e99999999999999999999", "-1e2147483648", "180e306", "1e4294967297"};
            for (size_t i = 0; i < sizeof over / sizeof *over; i++) {
                int error;
                double d = number(over[i], &error);
                if (!CHECK_INT(error, AZC_ERR_RANGE)) printf("    %s\n", over[i]);
                CHECK(bits_of(d) == 0);
            }
        }
    }
    TEST("halfway cases of up to 768 digits, with traces up to two thousand digits behind") {
        expect_halfway(0); /* half the least of all */
        expect_halfway(1);
        expect_halfway(2);
        expect_halfway(0x000FFFFFFFFFFFFF); /* above the greatest subnormal: 768 digits */
        expect_halfway(0x000FFFFFFFFFFFFE);
        expect_halfway(0x0010000000000000);
        expect_halfway(0x001FFFFFFFFFFFFF);
        expect_halfway(0x3FF0000000000000);
        expect_halfway(0x3FF0000000000001);
        expect_halfway(0x3FEFFFFFFFFFFFFF);
        expect_halfway(0x433FFFFFFFFFFFFF);
        expect_halfway(0x4340000000000000);
        expect_halfway(0x43E0000000000001);
        expect_halfway(0x7FEFFFFFFFFFFFFE);
        for (int i = 0; i < 30; i++) {
            uint64_t bits = random_bits() >> 1;
            if (bits < 0x7FEFFFFFFFFFFFFF) expect_halfway(bits);
        }
        int error; /* above the greatest of all: infinity's half */
        char *digits = strcpy(zeros, exact_decimal(((uint64_t)1 << 54) - 1, 970));
        *strchr(digits, 'e') = 0;
        CHECK(number(digits, &error) == 0 && error == AZC_ERR_RANGE);
        digits[strlen(digits) - 1]--;
        expect_double(digits, 0x7FEFFFFFFFFFFFFF);
    }
    TEST("a hundred thousand random doubles read back as they were written") {
        for (int i = 0; i < 100000; i++) {
            uint64_t bits = random_bits();
            if (i % 4 == 0) bits = bits_of((double)(int64_t)(bits >> 40) / 100);
            if (i % 16 == 1) bits &= ~((uint64_t)0x7FF << 52); /* subnormal */
            double d = from_bits(bits), back = 7;
            if (!(d - d <= 0 && d - d >= 0)) continue; /* NaN and infinities: below */
            char buf[40];
            azc_writer w = azc_put_begin(buf, sizeof buf);
            azc_put_double(&w, NULL, d);
            if (!CHECK_INT(azc_put_finish(&w), AZC_OK)) break;
            CHECK(w.len <= 24);
            if (!CHECK_INT(reads(buf), AZC_OK)) break;
            if (!CHECK(azc_json_double(doc, &back) == AZC_OK && bits_of(back) == bits)) {
                printf("    %s is not %.17g\n", buf, d);
                break;
            }
            if (!CHECK(bits_of(strtod(buf, NULL)) == bits)) break;
        }
    }
    TEST("a double that a small libc's printf cannot write is AZC_ERR_RANGE, not invalid JSON") {
        static const char *const bad[] = {"", "g", "%g", "1.5g", ".", "1.", "0x1.8p+0", "1,5 ",
                                          "+1.5", "01.5", "2.5", "-1.5"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            char buf[64];
            small_libc = bad[i];
            azc_writer w = azc_put_begin(buf, sizeof buf);
            azc_put_double(&w, "x", 1.5);
            if (!CHECK_INT(azc_put_finish(&w), AZC_ERR_RANGE)) printf("    %s: %s\n", bad[i], buf);
            small_libc = NULL;
        }
    }
    TEST("doubles are written and read alike under every decimal point") {
        static const double some[] = {0.1, 1.5, -2.25, 1e-7, 1.25e100, 123456.789, 5e-324, 1e21,
                                      1.7976931348623157e308, 3, 1e22, 1.0 / 3};
        static const char *const want[] = {"0.1", "1.5", "-2.25", "1e-07", "1.25e+100",
            "123456.789", "4.94065645841247e-324", "1e+21", "1.7976931348623157e+308", "3", "1e+22",
            "0.3333333333333333"};
        int tried = 0;
        EACH_LOCALE {
            tried++;
            for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
                char buf[40];
                azc_writer w = azc_put_begin(buf, sizeof buf);
                azc_put_double(&w, NULL, some[i]);
                CHECK_INT(azc_put_finish(&w), AZC_OK);
                CHECK_STR(buf, want[i]);
                expect_double(buf, bits_of(some[i]));
            }
        }
        CHECK(tried >= 2);
        CHECK_STR(setlocale(LC_ALL, NULL), "C");
    }
}

/* ---- The writer ------------------------------------------------------------------------------ */

static void put_nothing(azc_writer *w) { (void)w; }
static void put_word(azc_writer *w) { azc_put_null(w, NULL); }
static void put_true(azc_writer *w) { azc_put_bool(w, NULL, 5); }
static void put_false(azc_writer *w) { azc_put_bool(w, NULL, 0); }
static void put_string(azc_writer *w) { azc_put_string(w, NULL, "text"); }
static void put_empty(azc_writer *w) { azc_put_string(w, NULL, ""); }
static void put_null_string(azc_writer *w) { azc_put_string(w, NULL, NULL); }
static void put_null_text(azc_writer *w) { azc_put_text(w, NULL, NULL, 9); }
static void put_max(azc_writer *w) { azc_put_uint(w, NULL, UINT64_MAX); }
static void put_min(azc_writer *w) { azc_put_int(w, NULL, INT64_MIN); }
static void put_half(azc_writer *w) { azc_put_double(w, NULL, -0.5); }
static void put_zero(azc_writer *w) { azc_put_double(w, NULL, -0.0); }

static void put_users(azc_writer *w) { /* the manual's example */
    azc_put_string(w, "type", "users");
    azc_put_int(w, "count", 3);
}

static void put_everything(azc_writer *w) {
    azc_json inner, none;
    azc_json_read(&inner, " [1, {\"a\":\"\\u0041\"} ] ", 22);
    azc_json_read(&none, "", 0);
    azc_put_string(w, "s", "a \"\\/\b\f\n\r\t\x01\x1F\x7F\xC3\xA4");
    azc_put_text(w, "t", "a\0b", 3);
    azc_put_int(w, "i", -7);
    azc_put_uint(w, "u", 7);
    azc_put_double(w, "d", 1.5);
    azc_put_bool(w, "b", 1);
    azc_put_null(w, "n");
    azc_put_json(w, "j", inner);
    azc_put_json(w, "none", none);
    azc_put_object(w, "o");
    azc_put_null(w, "x");
    azc_put_array(w, "e");
    azc_put_end(w);
    azc_put_null(w, "y");
    azc_put_end(w);
    azc_put_array(w, "a");
    azc_put_int(w, NULL, 1);
    azc_put_object(w, NULL);
    azc_put_end(w);
    azc_put_array(w, NULL);
    azc_put_string(w, NULL, "deep");
    azc_put_end(w);
    azc_put_int(w, NULL, 2);
    azc_put_end(w);
    azc_put_null(w, "\"\n");
}

static void put_explicit(azc_writer *w) {
    azc_put_object(w, NULL);
    azc_put_int(w, "a", 1);
    azc_put_object(w, "b");
    azc_put_end(w);
    azc_put_end(w);
}

static void put_array_of_all(azc_writer *w) {
    azc_put_array(w, NULL);
    put_word(w), put_true(w), put_false(w), put_string(w), put_empty(w), put_max(w), put_min(w);
    put_half(w);
    azc_put_end(w);
}

static void put_containers_first(azc_writer *w) {
    azc_put_object(w, "a");
    azc_put_end(w);
    azc_put_array(w, "b");
    azc_put_end(w);
}

static const struct script {
    void (*put)(azc_writer *w);
    const char *want;
} scripts[] = {
    {put_word, "null"}, {put_true, "true"}, {put_false, "false"}, {put_string, "\"text\""},
    {put_empty, "\"\""}, {put_null_string, "null"}, {put_null_text, "null"},
    {put_max, "18446744073709551615"}, {put_min, "-9223372036854775808"}, {put_half, "-0.5"},
    {put_zero, "-0"}, {put_users, "{\"type\":\"users\",\"count\":3}"},
    {put_explicit, "{\"a\":1,\"b\":{}}"}, {put_containers_first, "{\"a\":{},\"b\":[]}"},
    {put_array_of_all, "[null,true,false,\"text\",\"\",18446744073709551615,-9223372036854775808,"
                       "-0.5]"},
    {put_everything, "{\"s\":\"a \\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7F\xC3\xA4\","
                     "\"t\":\"a\\u0000b\",\"i\":-7,\"u\":7,\"d\":1.5,\"b\":true,\"n\":null,"
                     "\"j\":[1, {\"a\":\"\\u0041\"} ],\"none\":null,"
                     "\"o\":{\"x\":null,\"e\":[],\"y\":null},\"a\":[1,{},[\"deep\"],2],"
                     "\"\\\"\\n\":null}"}};

/* Write with this script into just so many bytes before an unreadable page. */
static int written(void (*put)(azc_writer *w), size_t size, char *out, size_t *len) {
    char *buf = (char *)guarded_fill('?', size);
    azc_writer w = azc_put_begin(buf, size);
    CHECK(w.text == buf);
    if (size > 0) CHECK_INT(buf[0], 0);
    put(&w);
    int error = azc_put_finish(&w);
    CHECK_INT(azc_put_finish(&w), error); /* once more changes nothing */
    CHECK(w.text == buf);
    if (error) CHECK_INT(w.len, 0);
    if (size > 0) CHECK_INT(buf[w.len], 0);
    memcpy(out, buf, w.len);
    out[w.len] = 0;
    *len = w.len;
    guarded_free(buf, size);
    return error;
}

static int error_of(void (*put)(azc_writer *w)) {
    char out[1000];
    size_t len;
    return written(put, sizeof out, out, &len);
}

static void writing(void) {
    TEST("every put in every size of buffer: exactly the whole text, or AZC_ERR_FULL") {
        for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
            size_t need = strlen(scripts[i].want) + 1, len;
            for (size_t size = 0; size <= need + 2; size++) {
                char out[1000];
                int error = written(scripts[i].put, size, out, &len);
                if (size < need) {
                    if (!CHECK_INT(error, AZC_ERR_FULL)) break;
                } else {
                    CHECK_INT(error, AZC_OK);
                    CHECK_STR(out, scripts[i].want);
                    CHECK_INT(len, need - 1);
                }
            }
            CHECK_INT(reads(scripts[i].want), AZC_OK);
        }
    }
    TEST("an error stays: later puts do nothing") {
        char buf[12];
        azc_writer w = azc_put_begin(buf, sizeof buf);
        azc_put_array(&w, NULL);
        azc_put_string(&w, NULL, "too long for this");
        azc_put_int(&w, NULL, 1);
        azc_put_end(&w);
        CHECK_INT(azc_put_finish(&w), AZC_ERR_FULL);
        CHECK_STR(buf, "");
        w = azc_put_begin(buf, sizeof buf);
        azc_put_end(&w);
        azc_put_double(&w, NULL, NAN);
        azc_put_string(&w, NULL, "\xFF");
        CHECK_INT(azc_put_finish(&w), AZC_ERR_STATE); /* the first one */
        w = azc_put_begin(buf, sizeof buf);
        azc_put_double(&w, NULL, INFINITY);
        azc_put_end(&w);
        CHECK_INT(azc_put_finish(&w), AZC_ERR_RANGE);
        w = azc_put_begin(buf, sizeof buf);
        azc_put_string(&w, NULL, "a long text that is bad: \xFF");
        CHECK_INT(azc_put_finish(&w), AZC_ERR_UTF8);
        w = azc_put_begin(buf, 1); /* not even the quote fits */
        azc_put_string(&w, NULL, "\xFF");
        CHECK_INT(azc_put_finish(&w), AZC_ERR_UTF8);
        char deep[200];
        w = azc_put_begin(deep, sizeof deep);
        for (int i = 0; i < 63; i++) azc_put_array(&w, NULL);
        azc_put_object(&w, NULL);
        azc_put_object(&w, "\xFF"); /* two errors in one call: the name comes first */
        CHECK_INT(azc_put_finish(&w), AZC_ERR_UTF8);
    }
    TEST("without a buffer azc_put_finish is AZC_ERR_ARGUMENT; a NULL writer is ignored") {
        azc_writer w = azc_put_begin(NULL, 100);
        put_everything(&w);
        CHECK_INT(azc_put_finish(&w), AZC_ERR_ARGUMENT);
        CHECK_INT(w.len, 0);
        azc_put_null(NULL, NULL), azc_put_string(NULL, "a", "b"), azc_put_double(NULL, NULL, NAN);
        azc_put_double(NULL, NULL, 1), azc_put_end(NULL), azc_put_object(NULL, NULL);
        azc_put_array(NULL, NULL), azc_put_bool(NULL, NULL, 1), azc_put_int(NULL, NULL, 1);
        azc_put_uint(NULL, NULL, 1), azc_put_json(NULL, NULL, doc), azc_put_text(NULL, NULL, "", 0);
        CHECK_INT(azc_put_finish(NULL), AZC_ERR_ARGUMENT);
    }
    TEST("a writer without puts is AZC_ERR_STATE") {
        CHECK_INT(error_of(put_nothing), AZC_ERR_STATE);
    }
}

/* One letter a put: the state machine against RFC 8259's grammar. n: null without a name,
 * m: null with one, o/O and a/A: object and array without and with a name, e: end. */
static void play(azc_writer *w, const char *letters) {
    for (; *letters; letters++) {
        switch (*letters) {
        case 'n': azc_put_null(w, NULL); break;
        case 'm': azc_put_null(w, "m"); break;
        case 'o': azc_put_object(w, NULL); break;
        case 'O': azc_put_object(w, "o"); break;
        case 'a': azc_put_array(w, NULL); break;
        case 'A': azc_put_array(w, "a"); break;
        default: azc_put_end(w);
        }
    }
}

/* What it should write, NULL for AZC_ERR_STATE; by a stack of brackets. */
static const char *play_wanted(const char *letters) {
    static char out[400];
    char open[20];
    int depth = 0, done = 0, implicit = 0, comma = 0;
    size_t n = 0;
    if (*letters == 'm' || *letters == 'O' || *letters == 'A') {
        implicit = 1, open[depth++] = '}', out[n++] = '{';
    }
    for (; *letters; letters++) {
        if (*letters == 'e') {
            if (depth == implicit) return NULL;
            out[n++] = open[--depth];
            comma = 1, done = depth == 0;
            continue;
        }
        int named = strchr("mOA", *letters) != NULL;
        if (done || named != (depth > 0 && open[depth - 1] == '}')) return NULL;
        if (comma) out[n++] = ',';
        if (named) n += (size_t)sprintf(out + n, "\"%c\":", *letters == 'm' ? 'm' : *letters + 32);
        comma = strchr("nm", *letters) != NULL;
        if (comma) n += (size_t)sprintf(out + n, "null"), done = depth == 0;
        else out[n++] = strchr("oO", *letters) ? '{' : '[',
             open[depth++] = strchr("oO", *letters) ? '}' : ']';
    }
    if (implicit && depth == 1) out[n++] = '}', depth = 0, done = 1;
    out[n] = 0;
    return depth == 0 && done ? out : NULL;
}

static void states(void) {
    TEST("every sequence of up to six puts is valid JSON, or AZC_ERR_STATE by the grammar") {
        static const char letters[] = "nmoOaAe";
        int sequences = 0, good = 0;
        for (int length = 1; length <= 6; length++) {
            int count = 1;
            for (int i = 0; i < length; i++) count *= 7;
            for (int k = 0; k < count; k++) {
                char sequence[7] = "", buf[200];
                for (int i = 0, v = k; i < length; i++, v /= 7) sequence[i] = letters[v % 7];
                const char *want = play_wanted(sequence);
                azc_writer w = azc_put_begin(buf, sizeof buf);
                play(&w, sequence);
                int error = azc_put_finish(&w);
                sequences++;
                good += want != NULL;
                if (!CHECK_INT(error, want ? AZC_OK : AZC_ERR_STATE)) printf("    %s\n", sequence);
                if (want) CHECK_STR(buf, want);
                if (want) CHECK_INT(azc_json_read(&doc, buf, w.len), AZC_OK);
                if (test.bad > 10) return;
            }
        }
        CHECK(sequences > 130000 && good > 100);
    }
    TEST("containers nest to depth 64, with and without the implicit object; the reader takes it") {
        for (int kind = 0; kind < 3; kind++) {
            for (int depth = 63; depth <= 66; depth++) {
                char buf[1000];
                azc_writer w = azc_put_begin(buf, sizeof buf);
                for (int i = 0; i < depth; i++) {
                    if (kind == 0) azc_put_array(&w, NULL);
                    else if (kind == 1) azc_put_object(&w, i ? "o" : NULL);
                    else if (i > 0) azc_put_object(&w, "o"); /* the first is implicit */
                }
                for (int i = kind == 2; i < depth; i++) azc_put_end(&w);
                CHECK_INT(azc_put_finish(&w), depth <= 64 ? AZC_OK : AZC_ERR_RANGE);
                if (depth <= 64) CHECK_INT(reads(buf), AZC_OK);
            }
        }
    }
    TEST("the depth of a document that is put counts, so that the result can be read again") {
        char buf[1000], inner[130];
        for (int own = 1; own <= 64; own += 21) {
            for (int more = 63 - own; more <= 66 - own; more++) {
                if (more < 1) continue;
                memset(inner, '[', (size_t)more), memset(inner + more, ']', (size_t)more);
                azc_json value;
                if (azc_json_read(&value, inner, 2 * (size_t)more) != AZC_OK) continue;
                azc_writer w = azc_put_begin(buf, sizeof buf);
                for (int i = 0; i < own; i++) azc_put_array(&w, NULL);
                azc_put_json(&w, NULL, value);
                for (int i = 0; i < own; i++) azc_put_end(&w);
                CHECK_INT(azc_put_finish(&w), own + more <= 64 ? AZC_OK : AZC_ERR_RANGE);
            }
        }
    }
    TEST("a made-up azc_json is not written") {
        static const char *const made_up[] = {"1,2", "]", "\"", "{\"a\":1", "tru", "", " ", "01",
                                              "\"\xFF\"", "1 "};
        for (size_t i = 0; i < sizeof made_up / sizeof *made_up; i++) {
            char buf[100];
            azc_writer w = azc_put_begin(buf, sizeof buf);
            azc_json value;
            value.text = (const char *)placed(made_up[i], strlen(made_up[i]));
            value.len = strlen(made_up[i]);
            value.type = AZC_JSON_NUMBER;
            azc_put_json(&w, "x", value);
            CHECK_INT(azc_put_finish(&w), AZC_ERR_RANGE);
            CHECK_STR(buf, "");
        }
    }
    TEST("NaN and infinities are RANGE wherever they stand") {
        static const double bad[] = {NAN, -NAN, INFINITY, -INFINITY};
        for (int i = 0; i < 4; i++) {
            char buf[100];
            azc_writer w = azc_put_begin(buf, sizeof buf);
            azc_put_double(&w, i & 1 ? "x" : NULL, bad[i]);
            CHECK_INT(azc_put_finish(&w), AZC_ERR_RANGE);
        }
    }
    TEST("text that is not UTF-8 is refused as a value and as a name") {
        static const char *const bad[] = {"\xFF", "\xC3", "a\xED\xA0\x80", "\xC0\x80",
            "\xF4\x90\x80\x80"};
        for (int i = 0; i < 10; i++) {
            char buf[100];
            azc_writer w = azc_put_begin(buf, sizeof buf);
            if (i < 5) azc_put_string(&w, NULL, bad[i]);
            else azc_put_null(&w, bad[i - 5]);
            CHECK_INT(azc_put_finish(&w), AZC_ERR_UTF8);
            CHECK_STR(buf, "");
        }
    }
    TEST("every code point that is written is read again, as value and as name") {
        for (uint32_t c = 0; c <= 0x10FFFF; c += c < 0x900 ? 1 : 61) {
            if (c >= 0xD800 && c <= 0xDFFF) continue;
            char text[5] = "", buf[60], back[10];
            size_t n = azc__utf8_write(text, (int)c);
            azc_writer w = azc_put_begin(buf, sizeof buf);
            if (c == 0) azc_put_text(&w, "x", text, n);
            else azc_put_text(&w, text, text, n);
            if (!CHECK_INT(azc_put_finish(&w), AZC_OK)) break;
            if (!CHECK_INT(reads(buf), AZC_OK)) break;
            azc_json value = azc_json_get(doc, c ? text : "x");
            CHECK_INT(azc_json_string(value, back, sizeof back), n);
            CHECK(memcmp(back, text, n) == 0);
        }
    }
    TEST("text is read only as far as its length") {
        char buf[40];
        azc_writer w = azc_put_begin(buf, sizeof buf);
        azc_put_text(&w, NULL, (const char *)placed("abc", 3), 3);
        CHECK_INT(azc_put_finish(&w), AZC_OK);
        CHECK_STR(buf, "\"abc\"");
        w = azc_put_begin(buf, sizeof buf);
        azc_put_text(&w, NULL, (const char *)placed("abc\n", 4), 4);
        CHECK_INT(azc_put_finish(&w), AZC_OK);
        CHECK_STR(buf, "\"abc\\n\"");
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    documents();
    looking();
    integers();
    doubles();
    writing();
    states();
    return test_end();
}
