/* Fields of a request for a file. Input: what it tests, a number, then text:
 *
 *   0  a Range, of a file of so many bytes (the 8 that follow, if the number is odd), against a
 *      reader that only knows the grammar of RFC 9110 14.1.1
 *   1  an If-Modified-Since: what has an order is written back as the same date
 *   2  an If-None-Match, in pieces of lists: the tag is found if and only if it is an element
 *   3  an Accept-Encoding: gzip is accepted only if it is named
 *   4  the segments of a path: what may be opened has no slash, and no dot at its begin */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include "fuzz.h"

int FUZZ_TARGET(const uint8_t *data, size_t size);

static int files_digits(const char *text, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (text[i] < '0' || text[i] > '9') return 0;
    return n > 0;
}

/* Compare two numbers of any length, as text. */
static int files_compare(const char *a, size_t a_len, const char *b, size_t b_len) {
    while (a_len > 0 && *a == '0') a++, a_len--;
    while (b_len > 0 && *b == '0') b++, b_len--;
    if (a_len != b_len) return a_len < b_len ? -1 : 1;
    return a_len == 0 ? 0 : memcmp(a, b, a_len);
}

static void files_range(const char *text, uint64_t size) {
    uint64_t first = 77, len = 88;
    char size_text[32], first_text[32], last_text[32];
    int status = azc__range_parse(text, size, &first, &len);
    FUZZ_CHECK(status == 200 || status == 206 || status == 416);
    FUZZ_CHECK(status == 206 || (first == 77 && len == 88));
    FUZZ_CHECK(status != 206 || (len > 0 && first < size && len <= size - first));
    const char *dash = strchr(text, '-');
    size_t unit = strcspn(text, "=") + 1;
    size_t a_len = 0;
    if (dash != NULL && unit <= (size_t)(dash - text)) a_len = (size_t)(dash - text) - unit;
    const char *a = text + unit, *b = dash != NULL ? dash + 1 : "";
    size_t b_len = strlen(b);
    int good = dash != NULL && unit == 6 && azc__is_nocase(text, 6, "bytes=") &&
               a + a_len == dash &&
               (a_len == 0 || files_digits(a, a_len)) && (b_len == 0 || files_digits(b, b_len)) &&
               a_len + b_len > 0;
    static const char huge[] = "18446744073709551610"; /* all that is not less is one number */
    if (good && a_len > 0 && files_compare(a, a_len, huge, 20) >= 0 &&
        files_compare(b, b_len, huge, 20) >= 0) {
        FUZZ_CHECK(status == 416);
        return;
    }
    if (good && a_len > 0 && b_len > 0 && files_compare(b, b_len, a, a_len) < 0) good = 0;
    if (!good) {
        FUZZ_CHECK(status == 200);
        return;
    }
    snprintf(size_text, sizeof size_text, "%llu", (unsigned long long)size);
    int beyond = a_len > 0 ? files_compare(a, a_len, size_text, strlen(size_text)) >= 0
                           : files_compare(b, b_len, "0", 1) == 0;
    if (a_len == 0 && size == 0) FUZZ_CHECK(status == (beyond ? 416 : 200));
    else FUZZ_CHECK(status == (beyond ? 416 : 206));
    if (status != 206) return;
    snprintf(first_text, sizeof first_text, "%llu", (unsigned long long)first);
    snprintf(last_text, sizeof last_text, "%llu", (unsigned long long)(first + len - 1));
    if (a_len > 0) FUZZ_CHECK(files_compare(a, a_len, first_text, strlen(first_text)) == 0);
    if (a_len > 0 && b_len > 0 && files_compare(b, b_len, size_text, strlen(size_text)) < 0)
        FUZZ_CHECK(files_compare(b, b_len, last_text, strlen(last_text)) == 0);
    else FUZZ_CHECK(first + len == size);
}

static void files_date(const char *text) {
    int64_t order = azc__date_order(text);
    int day, year, hour, minute, second;
    char weekday[4], month[4], again[64];
    FUZZ_CHECK(order >= -1);
    if (order < 0) return;
    FUZZ_CHECK(sscanf(text, "%3s, %2d %3s %4d %2d:%2d:%2d GMT", weekday, &day, month, &year, &hour,
                      &minute, &second) == 7);
    snprintf(again, sizeof again, "%s, %02d %s %04d %02d:%02d:%02d GMT", weekday, day, month, year,
             hour, minute, second);
    FUZZ_CHECK(strcmp(again, text) == 0);
    snprintf(again, sizeof again, "%s, %02d %s %04d %02d:%02d:%02d GMT", weekday, day, month, year,
             hour, minute, second > 0 ? second - 1 : 0);
    FUZZ_CHECK((azc__date_order(again) < order) == (second > 0));
}

/* A request with one field. */
static void files_request(azc__request *r, const char *name, char *value) {
    memset(r, 0, offsetof(azc__request, extra));
    r->fields[0].name = (char *)(uintptr_t)name;
    r->fields[0].value = value;
    r->field_count = 1;
}

/* The next element of a list of entity tags without commas, of whatever is between commas. */
static const char *files_element(const char **at, size_t *len) {
    if (*at == NULL) return NULL;
    const char *p = *at, *comma = strchr(p, ',');
    size_t n = comma != NULL ? (size_t)(comma - p) : strlen(p);
    *at = comma != NULL ? comma + 1 : NULL;
    for (; n > 0 && (*p == ' ' || *p == '\t'); n--) p++;
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t')) n--;
    *len = n;
    return p;
}

static void files_tag(azc__request *r, char *text) {
    static const char tag[] = "\"0123456789abcdef\"", weak[] = "W/\"0123456789abcdef\"";
    int found = 0;
    size_t n;
    files_request(r, "If-None-Match", text);
    const char *at = text;
    for (const char *p; (p = files_element(&at, &n)) != NULL;)
        found |= (n == sizeof tag - 1 && memcmp(p, tag, n) == 0) || (n == 1 && *p == '*') ||
                 (n == sizeof weak - 1 && memcmp(p, weak, n) == 0);
    FUZZ_CHECK(azc__http_knows(r, tag) == found);
}

static void files_coding(azc__request *r, char *text) {
    int named = 0;
    size_t n;
    files_request(r, "Accept-Encoding", text);
    const char *at = text;
    for (const char *p; (p = files_element(&at, &n)) != NULL && !named;)
        named = n >= 4 && azc__is_nocase(p, 4, "gzip") &&
                (n == 4 || p[4] == ';' || p[4] == ' ' || p[4] == '\t');
    int accepted = azc__file_gzip(r);
    FUZZ_CHECK(accepted == 0 || named);
    if (named && strchr(text, '=') == NULL) FUZZ_CHECK(accepted);
}

static void files_path(const char *text) {
    char *segments = (char *)fuzz_copy(NULL, 0, 2 * strlen(text) + 2), *out = segments;
    char *path = (char *)fuzz_copy(NULL, 0, strlen(text) + 2);
    snprintf(path, strlen(text) + 2, "/%s", text);
    int count = azc__route_split(&out, path, strlen(path));
    const char *p = segments;
    for (int i = 0; i < count; i++, p = azc__string_next(p)) {
        int may = azc__file_named(p);
        FUZZ_CHECK(!may || (strchr(p, '/') == NULL && strcmp(p, "..") != 0 && strcmp(p, ".") != 0));
        FUZZ_CHECK(may || *p == '.' || strchr(p, '/') != NULL);
    }
    free(segments), free(path);
}

int FUZZ_TARGET(const uint8_t *data, size_t size) {
    static azc__request request;
    fuzz_input in = {data, data + size};
    unsigned what = fuzz_byte(&in), number = fuzz_byte(&in);
    uint64_t file = number >> 1;
    for (int i = 0; number & 1 && i < 8; i++) file = file << 8 | fuzz_byte(&in);
    size_t n = fuzz_left(&in);
    char *text = (char *)fuzz_copy(in.p, n, 1);
    text[n] = 0;
    if (what % 5 == 0) files_range(text, file >> 1); /* as off_t has it */
    if (what % 5 == 1) files_date(text);
    if (what % 5 == 2) files_tag(&request, text);
    if (what % 5 == 3) files_coding(&request, text);
    if (what % 5 == 4) files_path(text);
    free(text);
    return 0;
}
