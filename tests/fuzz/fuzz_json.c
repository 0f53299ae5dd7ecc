/* The JSON reader (RFC 8259) against a recursive reference, and what it accepts walked to the last
 * byte, written anew and read again. Input: the document. */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include <float.h>
#include "fuzz.h"

int FUZZ_TARGET(const uint8_t *data, size_t size);

/* ---- The reference --------------------------------------------------------------------------- */

static const char *json_blank(const char *p, const char *end) {
    while (p < end && memchr(" \t\r\n", *p, 4) != NULL) p++;
    return p;
}

/* The code unit of the \uXXXX at p, or -1. */
static long json_unit(const char *p, const char *end) {
    char hex[5] = {0};
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return -1;
    memcpy(hex, p + 2, 4);
    return strlen(hex) == 4 && strspn(hex, "0123456789abcdefABCDEF") == 4 ? strtol(hex, NULL, 16)
                                                                           : -1;
}

/* The string at p, decoded to out (as long as its text) with its length in *n: its end, or NULL. */
static const char *json_text(const char *p, const char *end, char *out, size_t *n) {
    *n = 0;
    for (p++; p < end && *p != '"';) {
        uint32_t code = (unsigned char)*p;
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        const char *escape = end - p >= 2 && p[1] != 0 ? strchr(from, p[1]) : NULL;
        long unit = json_unit(p, end), low = unit < 0 ? -1 : json_unit(p + 6, end);
        int k;
        if (*p != '\\') {
            k = fuzz_utf8_char((const uint8_t *)p, (size_t)(end - p), &code);
            if (k <= 0 || code < 32) return NULL;
        } else if (unit >= 0xD800 && unit < 0xDC00 && low >= 0xDC00 && low < 0xE000) {
            code = 0x10000u + (uint32_t)(unit - 0xD800) * 1024u + (uint32_t)(low - 0xDC00);
            k = 12;
        } else if (unit >= 0) {
            if (unit >= 0xD800 && unit < 0xE000) return NULL;
            code = (uint32_t)unit;
            k = 6;
        } else if (escape != NULL) {
            code = (unsigned char)to[escape - from];
            k = 2;
        } else {
            return NULL;
        }
        if (*p != '\\') memcpy(out + *n, p, (size_t)k), *n += (size_t)k;
        else *n += azc__utf8_write(out + *n, (long)code); /* which fuzz_utf8.c looks after */
        p += k;
    }
    return p < end ? p + 1 : NULL;
}

static const char *json_digits(const char *p, const char *end) {
    const char *start = p;
    while (p < end && *p >= '0' && *p <= '9') p++;
    return p > start ? p : NULL;
}

static const char *json_number(const char *p, const char *end) {
    if (p < end && *p == '-') p++;
    if (p < end && *p == '0') p++;
    else p = json_digits(p, end);
    if (p != NULL && p < end && *p == '.') p = json_digits(p + 1, end);
    if (p != NULL && p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        p = json_digits(p, end);
    }
    return p;
}

static char *json_room; /* as long as the document */

/* The end of the value at p, or NULL; depth: how many containers may still open. */
static const char *json_value(const char *p, const char *end, int depth) {
    static const char *const words[] = {"null", "true", "false"};
    size_t n;
    if (p == end) return NULL;
    if (*p == '"') return json_text(p, end, json_room, &n);
    for (int i = 0; i < 3; i++) {
        n = strlen(words[i]);
        if ((size_t)(end - p) >= n && memcmp(p, words[i], n) == 0) return p + n;
    }
    if (*p != '[' && *p != '{') return json_number(p, end);
    if (depth == 0) return NULL;
    char closer = *p == '[' ? ']' : '}';
    p = json_blank(p + 1, end);
    if (p < end && *p == closer) return p + 1;
    for (;;) {
        if (closer == '}') {
            if (p == end || *p != '"') return NULL;
            p = json_text(p, end, json_room, &n);
            if (p == NULL) return NULL;
            p = json_blank(p, end);
            if (p == end || *p++ != ':') return NULL;
            p = json_blank(p, end);
        }
        p = json_value(p, end, depth - 1);
        if (p == NULL) return NULL;
        p = json_blank(p, end);
        if (p < end && *p == closer) return p + 1;
        if (p == end || *p++ != ',') return NULL;
        p = json_blank(p, end);
    }
}

/* The integer that a number is (a NUL behind it), as decimal digits in out[24]; 0 when it has a
 * fraction or more than 20 digits. */
static int json_integer(const char *p, size_t n, char *out) {
    const char *e = (const char *)memchr(p, 'e', n), *big = (const char *)memchr(p, 'E', n);
    if (e == NULL) e = big;
    size_t mantissa = e != NULL ? (size_t)(e - p) : n, count = 0, zeros;
    char *digits = (char *)malloc(n + 1);
    if (digits == NULL) abort();
    long exponent = e != NULL ? strtol(e + 1, NULL, 10) : 0;
    if (exponent > 100000000) exponent = 100000000;
    if (exponent < -100000000) exponent = -100000000;
    int fraction = 0;
    for (size_t i = 0; i < mantissa; i++) {
        if (p[i] == '.') fraction = 1;
        else if (p[i] != '-') digits[count++] = p[i], exponent -= fraction;
    }
    for (; count > 0 && digits[count - 1] == '0'; count--) exponent++;
    for (zeros = 0; zeros < count && digits[zeros] == '0';) zeros++;
    size_t left = count - zeros;
    int good = left == 0 || (exponent >= 0 && exponent <= 20 && left + (size_t)exponent <= 20);
    memset(out, 0, 24);
    if (good && left > 0) memcpy(out, digits + zeros, left);
    if (good && left > 0) memset(out + left, '0', (size_t)exponent);
    if (good && left == 0) *out = '0';
    free(digits);
    return good;
}

/* ---- The properties -------------------------------------------------------------------------- */

static void json_check_string(azc_json v, const char *want, size_t n) {
    char *buf = (char *)malloc(n + 1);
    if (buf == NULL) abort();
    FUZZ_CHECK(azc_json_string(v, NULL, 0) == (int)n);
    FUZZ_CHECK(azc_json_string(v, buf, n + 1) == (int)n);
    FUZZ_CHECK(memcmp(buf, want, n) == 0 && buf[n] == 0);
    FUZZ_CHECK(azc_json_equals(v, buf) == (strlen(buf) == n));
    if (n > 0) {
        buf[n - 1] ^= 1;
        FUZZ_CHECK(!azc_json_equals(v, buf));
        buf[n - 1] = 0;
        FUZZ_CHECK(!azc_json_equals(v, buf));
        free(buf);
        /* Too short by some bytes: whole characters, and a NUL. */
        size_t less = n - (n * 7 + (unsigned char)want[0]) % n, good = 0;
        buf = (char *)malloc(less);
        if (buf == NULL) abort();
        FUZZ_CHECK(azc_json_string(v, buf, less) == AZC_ERR_FULL);
        fuzz_text(want, less - 1, &good);
        FUZZ_CHECK(memcmp(buf, want, good) == 0 && buf[good] == 0);
        FUZZ_CHECK(azc_json_string(v, buf, 0) == AZC_ERR_FULL);
    }
    free(buf);
}

static void json_check_number(azc_json v) {
    char *text = (char *)fuzz_copy(v.text, v.len, 1), digits[24];
    double d = 1, want;
    int64_t i = 1;
    uint64_t u = 1;
    int negative = *v.text == '-';
    text[v.len] = 0;
    want = strtod(text, NULL);
    int fits = want <= DBL_MAX && want >= -DBL_MAX;
    FUZZ_CHECK(azc_json_double(v, &d) == (fits ? AZC_OK : AZC_ERR_RANGE));
    FUZZ_CHECK(d <= (fits ? want : 0) && d >= (fits ? want : 0));
    int whole = json_integer(text, v.len, digits);
    errno = 0;
    unsigned long long magnitude = whole ? strtoull(digits, NULL, 10) : 0;
    if (errno == ERANGE) whole = 0;
    int zero = whole && magnitude == 0;
    int good_u = whole && (!negative || zero);
    FUZZ_CHECK(azc_json_uint(v, &u) == (good_u ? AZC_OK : AZC_ERR_RANGE));
    FUZZ_CHECK(u == (good_u ? magnitude : 0));
    int good_i = whole && magnitude <= (unsigned long long)INT64_MAX + (unsigned)negative;
    FUZZ_CHECK(azc_json_int(v, &i) == (good_i ? AZC_OK : AZC_ERR_RANGE));
    uint64_t bits = good_i ? negative ? 0 - (uint64_t)magnitude : (uint64_t)magnitude : 0;
    FUZZ_CHECK((uint64_t)i == bits);
    free(text);
}

static void json_check_types(azc_json v) {
    double d = 1;
    int64_t i = 1;
    uint64_t u = 1;
    int b = 7;
    char c = 'x';
    int number = v.type == AZC_JSON_NUMBER, boolean = v.type == AZC_JSON_BOOL;
    if (!number) {
        FUZZ_CHECK(azc_json_double(v, &d) == AZC_ERR_TYPE && d <= 0 && d >= 0);
        FUZZ_CHECK(azc_json_int(v, &i) == AZC_ERR_TYPE && i == 0);
        FUZZ_CHECK(azc_json_uint(v, &u) == AZC_ERR_TYPE && u == 0);
    }
    FUZZ_CHECK(azc_json_bool(v, &b) == (boolean ? AZC_OK : AZC_ERR_TYPE));
    FUZZ_CHECK(b == (boolean && *v.text == 't'));
    if (v.type != AZC_JSON_STRING)
        FUZZ_CHECK(azc_json_string(v, &c, 1) == AZC_ERR_TYPE && c == 0 && !azc_json_equals(v, ""));
    if (v.type != AZC_JSON_OBJECT) FUZZ_CHECK(azc_json_get(v, "").type == AZC_JSON_NONE);
    if (v.type != AZC_JSON_ARRAY) FUZZ_CHECK(azc_json_at(v, 0).type == AZC_JSON_NONE);
}

static void json_walk(azc_json v, const char *p, const char *end);

/* The container's children are what the reference finds between its brackets. */
static void json_walk_children(azc_json v, const char *p, const char *end) {
    int object = *p == '{';
    size_t count = 0, n = 0;
    azc_json_iter iter = azc_json_each(v);
    p = json_blank(p + 1, end);
    while (azc_json_next(&iter)) {
        if (object) {
            const char *stop = json_text(p, end, json_room, &n);
            char *name = (char *)fuzz_copy(json_room, n, 1);
            name[n] = 0;
            FUZZ_CHECK(iter.name.type == AZC_JSON_STRING && iter.name.text == p);
            FUZZ_CHECK(iter.name.len == (size_t)(stop - p));
            json_check_string(iter.name, name, n);
            if (strlen(name) == n && count < 32) { /* get: the last of that name */
                azc_json last = iter.value, got = azc_json_get(v, name);
                for (azc_json_iter rest = iter; azc_json_next(&rest);) {
                    if (azc_json_equals(rest.name, name)) last = rest.value;
                }
                FUZZ_CHECK(got.text == last.text && got.len == last.len && got.type == last.type);
            }
            free(name);
            p = json_blank(json_blank(stop, end) + 1, end);
        } else {
            azc_json at = azc_json_at(v, count);
            FUZZ_CHECK(iter.name.type == AZC_JSON_NONE);
            if (count < 32) FUZZ_CHECK(at.text == iter.value.text && at.len == iter.value.len);
        }
        const char *stop = json_value(p, end, AZC__MAX_DEPTH);
        FUZZ_CHECK(stop != NULL);
        json_walk(iter.value, p, stop);
        p = json_blank(stop, end);
        if (*p == ',') p = json_blank(p + 1, end);
        count++;
    }
    FUZZ_CHECK(p + 1 == end && !azc_json_next(&iter));
    FUZZ_CHECK(azc_json_count(v) == count);
    if (!object) FUZZ_CHECK(azc_json_at(v, count).type == AZC_JSON_NONE);
}

static void json_walk(azc_json v, const char *p, const char *end) {
    size_t n;
    FUZZ_CHECK(v.text == p && v.len == (size_t)(end - p));
    int type = *p == '{' ? AZC_JSON_OBJECT : *p == '[' ? AZC_JSON_ARRAY
               : *p == '"' ? AZC_JSON_STRING : *p == 'n' ? AZC_JSON_NULL
               : *p == 't' || *p == 'f' ? AZC_JSON_BOOL : AZC_JSON_NUMBER;
    FUZZ_CHECK(v.type == type);
    json_check_types(v);
    if (type == AZC_JSON_OBJECT || type == AZC_JSON_ARRAY) {
        json_walk_children(v, p, end);
    } else if (type == AZC_JSON_STRING) {
        json_text(p, end, json_room, &n);
        char *want = (char *)fuzz_copy(json_room, n, 0);
        json_check_string(v, want, n);
        free(want);
    } else if (type == AZC_JSON_NUMBER) {
        json_check_number(v);
    }
}

/* Write the value again with the accessors. Returns 0 when a name holds a NUL, which the
 * writer cannot be given. */
static int json_rewrite(azc_writer *w, const char *name, azc_json v) {
    int64_t i;
    uint64_t u;
    double d;
    int b, good = 1;
    if (v.type == AZC_JSON_OBJECT || v.type == AZC_JSON_ARRAY) {
        v.type == AZC_JSON_OBJECT ? azc_put_object(w, name) : azc_put_array(w, name);
        for (azc_json_iter iter = azc_json_each(v); azc_json_next(&iter);) {
            int n = azc_json_string(iter.name, NULL, 0);
            char *own = n < 0 ? NULL : (char *)malloc((size_t)n + 1);
            if (own != NULL) azc_json_string(iter.name, own, (size_t)n + 1);
            if (own != NULL && strlen(own) != (size_t)n) good = 0;
            good &= json_rewrite(w, own, iter.value);
            free(own);
        }
        azc_put_end(w);
    } else if (v.type == AZC_JSON_STRING) {
        int n = azc_json_string(v, NULL, 0);
        char *own = (char *)malloc((size_t)n + 1);
        if (own == NULL) abort();
        azc_json_string(v, own, (size_t)n + 1);
        azc_put_text(w, name, own, (size_t)n);
        free(own);
    } else if (azc_json_bool(v, &b) == AZC_OK) {
        azc_put_bool(w, name, b);
    } else if (azc_json_int(v, &i) == AZC_OK) {
        azc_put_int(w, name, i);
    } else if (azc_json_uint(v, &u) == AZC_OK) {
        azc_put_uint(w, name, u);
    } else if (azc_json_double(v, &d) == AZC_OK) {
        azc_put_double(w, name, d);
    } else if (v.type == AZC_JSON_NUMBER) {
        azc_put_json(w, name, v);
    } else {
        azc_put_null(w, name);
    }
    return good;
}

static int json_string_same(azc_json a, azc_json b) {
    int n = azc_json_string(a, NULL, 0), same = n == azc_json_string(b, NULL, 0);
    if (!same || n < 0) return same;
    char *x = (char *)malloc((size_t)n + 1), *y = (char *)malloc((size_t)n + 1);
    if (x == NULL || y == NULL) abort();
    azc_json_string(a, x, (size_t)n + 1), azc_json_string(b, y, (size_t)n + 1);
    same = memcmp(x, y, (size_t)n) == 0;
    free(x), free(y);
    return same;
}

static int json_same(azc_json a, azc_json b) {
    double da, db;
    uint64_t ua, ub;
    int64_t ia, ib;
    int ba, bb;
    if (a.type != b.type || !json_string_same(a, b)) return 0;
    if (azc_json_double(a, &da) != azc_json_double(b, &db) || da < db || da > db) return 0;
    if (azc_json_uint(a, &ua) == AZC_OK && (azc_json_uint(b, &ub) != AZC_OK || ua != ub)) return 0;
    if (azc_json_int(a, &ia) == AZC_OK && (azc_json_int(b, &ib) != AZC_OK || ia != ib)) return 0;
    if (azc_json_bool(a, &ba) != azc_json_bool(b, &bb) || ba != bb) return 0;
    azc_json_iter i = azc_json_each(a), j = azc_json_each(b);
    int more;
    while ((more = azc_json_next(&i)) == azc_json_next(&j) && more) {
        if (!json_string_same(i.name, j.name) || !json_same(i.value, j.value)) return 0;
    }
    return !more && !azc_json_next(&j);
}

/* What was read is written and read, twice: the same value each time. */
static void json_check_writing(azc_json doc) {
    size_t size = doc.len * 6 + 64;
    char *one = (char *)malloc(size), *two = (char *)malloc(size);
    if (one == NULL || two == NULL) abort();
    azc_json again;
    azc_writer w = azc_put_begin(one, doc.len + 1);
    azc_put_json(&w, NULL, doc);
    FUZZ_CHECK(azc_put_finish(&w) == AZC_OK && w.len == doc.len);
    FUZZ_CHECK(memcmp(one, doc.text, doc.len) == 0 && one[doc.len] == 0);
    w = azc_put_begin(one, size);
    int good = json_rewrite(&w, NULL, doc);
    FUZZ_CHECK(azc_put_finish(&w) == AZC_OK && strlen(one) == w.len);
    FUZZ_CHECK(azc_json_read(&again, one, w.len) == AZC_OK);
    if (good) FUZZ_CHECK(json_same(doc, again));
    azc_writer w2 = azc_put_begin(two, size);
    json_rewrite(&w2, NULL, again);
    FUZZ_CHECK(azc_put_finish(&w2) == AZC_OK);
    FUZZ_CHECK(azc_json_read(&doc, two, w2.len) == AZC_OK && json_same(again, doc));
    free(one), free(two);
}

/* Up to the bad byte all is well, and what follows it changes nothing. */
static void json_check_error(azc_json doc, const char *text, size_t n) {
    azc_json part;
    size_t bad = doc.len;
    FUZZ_CHECK(doc.type == AZC_JSON_NONE && doc.text == text && bad <= n);
    char *start = (char *)fuzz_copy(text, bad, 0);
    if (azc_json_read(&part, start, bad) != AZC_OK) FUZZ_CHECK(part.len == bad);
    free(start);
    if (bad == n) return;
    start = (char *)fuzz_copy(text, bad + 1, 0);
    FUZZ_CHECK(azc_json_read(&part, start, bad + 1) == AZC_ERR_JSON && part.len == bad);
    free(start);
}

int FUZZ_TARGET(const uint8_t *data, size_t size) {
    char *text = (char *)fuzz_copy(data, size, 0);
    azc_json doc;
    json_room = (char *)malloc(size + 1);
    if (json_room == NULL) abort();
    const char *end = text + size, *start = json_blank(text, end);
    const char *stop = json_value(start, end, AZC__MAX_DEPTH);
    int wanted = stop != NULL && json_blank(stop, end) == end;
    FUZZ_CHECK(azc_json_read(&doc, text, size) == (wanted ? AZC_OK : AZC_ERR_JSON));
    if (wanted) {
        json_walk(doc, start, stop);
        json_check_writing(doc);
    } else {
        json_check_error(doc, text, size);
    }
    free(json_room);
    free(text);
    return 0;
}
