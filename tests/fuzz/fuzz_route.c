/* Patterns and paths against a slow reference. Input: lines; those up to the first empty line are
 * patterns to register in this order, those behind it paths to look up. */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include "fuzz.h"

int FUZZ_TARGET(const uint8_t *data, size_t size);

enum { ROUTE_MOST = 12, ROUTE_SEGMENTS = 40 };

/* ---- The reference: a pattern is its text, and is read anew for every question --------------- */

typedef struct route_part { /* of a pattern or a path, between slashes */
    const char *p;
    size_t n;
} route_part;

/* Part number i of what begins with a slash; 0 when there are not so many. */
static int route_nth(const char *p, size_t n, size_t i, route_part *part) {
    size_t at = 0;
    part->p = "";
    part->n = 0;
    for (; at < n; at++) {
        if (p[at] == '/' && i-- == 0) break;
    }
    if (at == n) return 0;
    part->p = p + at + 1;
    for (part->n = 0; at + 1 + part->n < n && part->p[part->n] != '/';) part->n++;
    return 1;
}
static int route_part_of(const char *pattern, size_t i, route_part *part) {
    return route_nth(pattern, strlen(pattern), i, part);
}
static char route_sign(route_part part) {
    return part.n > 0 && (*part.p == ':' || *part.p == '*') ? *part.p : '=';
}
static int route_equal(route_part a, route_part b) {
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

/* The manual: literal segments, :params, a trailing *rest; no name twice. Between slashes there is
 * something, but after the last one there need not be. */
static int route_good(const char *pattern) {
    route_part a, b, next;
    if (*pattern != '/' || fuzz_text(pattern, strlen(pattern), NULL) != 1) return 0;
    for (const char *c = pattern; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 127 || *c == '?' || *c == '#' || *c == '%') return 0;
    }
    for (size_t i = 0; route_part_of(pattern, i, &a); i++) {
        int last = !route_part_of(pattern, i + 1, &next);
        char sign = route_sign(a);
        if (a.n == 0 && !last) return 0;
        if (sign != '=' && a.n == 1) return 0;
        if (sign == '*' && !last) return 0;
        for (size_t j = 0; sign != '=' && j < i; j++) {
            route_part_of(pattern, j, &b);
            if (route_sign(b) == '=') continue;
            a.p++, a.n--, b.p++, b.n--;
            if (route_equal(a, b)) return 0;
            a.p--, a.n++;
        }
    }
    return 1;
}

/* Two patterns that match the same paths. */
static int route_conflict(const char *x, const char *y) {
    route_part a, b;
    for (size_t i = 0;; i++) {
        int in_x = route_part_of(x, i, &a), in_y = route_part_of(y, i, &b);
        if (!in_x || !in_y) return in_x == in_y;
        if (route_sign(a) != route_sign(b)) return 0;
        if (route_sign(a) == '=' && !route_equal(a, b)) return 0;
    }
}

typedef struct route_path {
    char text[ROUTE_SEGMENTS][256];
    size_t count;
} route_path;

/* Decode one part of a path. Returns 0 for a malformed one. */
static int route_decode(route_part part, char *out) {
    size_t n = 0;
    for (size_t i = 0; i < part.n; i++) {
        unsigned value = (unsigned char)part.p[i];
        if (value == '%') {
            char hex[3] = {0}, *end = hex;
            if (part.n - i < 3) return 0;
            memcpy(hex, part.p + i + 1, 2);
            if (!strchr("0123456789abcdefABCDEF", hex[0])) return 0;
            value = (unsigned)strtoul(hex, &end, 16);
            if (end != hex + 2) return 0;
            i += 2;
        }
        if (value == 0) return 0;
        out[n++] = (char)value;
    }
    out[n] = 0;
    return fuzz_text(out, n, NULL) == 1;
}

/* An empty path is "/". Returns 0 for one that is malformed. */
static int route_read(const char *p, size_t n, route_path *path) {
    route_part part = {"", 0};
    path->count = 0;
    *path->text[0] = 0;
    if (n == 0) path->count = 1;
    for (; route_nth(p, n, path->count, &part) && n > 0; path->count++) {
        if (!route_decode(part, path->text[path->count])) return 0;
    }
    return 1;
}

static int route_match(const char *pattern, const route_path *path) {
    route_part part;
    size_t i = 0;
    for (; route_part_of(pattern, i, &part); i++) {
        if (i == path->count) return 0;
        const char *segment = path->text[i];
        route_part own = {segment, strlen(segment)};
        if (route_sign(part) == '*') return 1;
        if (route_sign(part) == ':' ? own.n == 0 : !route_equal(part, own)) return 0;
    }
    return i == path->count;
}

/* Both match the path: is x the better one? From the left, literal before :param before *rest. */
static int route_better(const char *x, const char *y) {
    route_part a, b;
    for (size_t i = 0; route_part_of(x, i, &a) && route_part_of(y, i, &b); i++) {
        static const char order[] = "=:*";
        const char *rank_a = strchr(order, route_sign(a)), *rank_b = strchr(order, route_sign(b));
        if (rank_a != rank_b) return rank_a < rank_b;
    }
    return 0;
}

/* What a parameter is given: one segment, or all that is left, with the slashes. */
static void route_value(const char *pattern, const route_path *path, size_t i, char *out) {
    route_part part;
    route_part_of(pattern, i, &part);
    size_t to = route_sign(part) == '*' ? path->count : i + 1;
    for (*out = 0; i < to; i++) {
        strcat(out, path->text[i]);
        if (i + 1 < to) strcat(out, "/");
    }
}

/* ---- The properties -------------------------------------------------------------------------- */

static azc__route *route_list;
static char *route_patterns[ROUTE_MOST]; /* those registered, in their order */
static size_t route_known;

static void route_check_found(const azc__route *route, const char *pattern, const route_path *path,
                              const char *segments, int count, size_t room) {
    char *values = (char *)malloc(room), *end = values, wanted[ROUTE_SEGMENTS * 256], name[256];
    if (values == NULL) abort();
    azc__route_values(route, segments, count, &end);
    FUZZ_CHECK(end <= values + room);
    const char *value = values;
    int number = 0;
    route_part part;
    for (size_t i = 0; route_part_of(pattern, i, &part); i++) {
        if (route_sign(part) == '=') continue;
        memcpy(name, part.p + 1, part.n - 1);
        name[part.n - 1] = 0;
        route_value(pattern, path, i, wanted);
        FUZZ_CHECK(value < end && strcmp(value, wanted) == 0);
        FUZZ_CHECK(azc__route_param(route, name) == number++);
        value = azc__string_next(value);
    }
    FUZZ_CHECK(value == end && azc__route_param(route, "") < 0);
    free(values);
}

/* Register a pattern, which becomes the route's target; or it is refused, for the right reason. */
static void route_register(const azc__mem *mem, const uint8_t *line, size_t n) {
    char *pattern = (char *)fuzz_copy(line, n, 1);
    azc__route *route = NULL;
    pattern[n] = 0;
    int error = azc__route_parse(mem, pattern, &route), wanted = AZC_OK;
    FUZZ_CHECK(error == (route_good(pattern) ? AZC_OK : AZC_ERR_PATTERN));
    for (size_t i = 0; i < route_known; i++) {
        if (route_conflict(route_patterns[i], pattern)) wanted = AZC_ERR_CONFLICT;
    }
    if (error == AZC_OK) {
        route->target = pattern;
        error = azc__route_insert(&route_list, route);
        FUZZ_CHECK(error == wanted);
        if (error != AZC_OK) azc__route_free(mem, route);
    }
    if (error == AZC_OK) route_patterns[route_known++] = pattern;
    else free(pattern);
}

static void route_look_up(const uint8_t *line, size_t n) {
    static route_path path;
    char *text = (char *)fuzz_copy(line, n, 0), *segments = (char *)malloc(n + 1);
    char *end = segments;
    if (segments == NULL) abort();
    int count = azc__route_split(&end, text, n);
    FUZZ_CHECK((count > 0) == route_read(text, n, &path));
    if (count > 0) {
        const char *best = NULL, *segment = segments;
        FUZZ_CHECK((size_t)count == path.count && end <= segments + n + 1);
        for (int i = 0; i < count; i++, segment = azc__string_next(segment))
            FUZZ_CHECK(strcmp(segment, path.text[i]) == 0);
        for (size_t i = 0; i < route_known; i++) {
            if (!route_match(route_patterns[i], &path)) continue;
            if (best == NULL || route_better(route_patterns[i], best)) best = route_patterns[i];
        }
        const azc__route *found = azc__route_find(route_list, segments, count);
        FUZZ_CHECK(best == (found != NULL ? (const char *)found->target : NULL));
        if (found != NULL) route_check_found(found, best, &path, segments, count, n + 1);
    }
    free(segments);
    free(text);
}

int FUZZ_TARGET(const uint8_t *data, size_t size) {
    fuzz_memory memory;
    memset(&memory, 0, sizeof memory);
    azc__mem mem;
    memset(&mem, 0, sizeof mem);
    mem.alloc = fuzz_alloc;
    mem.userdata = &memory;
    route_list = NULL;
    route_known = 0;
    int registering = 1;
    while (size > 0) {
        const uint8_t *stop = (const uint8_t *)memchr(data, '\n', size);
        size_t whole = stop != NULL ? (size_t)(stop - data) : size;
        size_t n = whole > 255 ? 255 : whole, slashes = 0;
        for (size_t i = 0; i < n; i++) slashes += data[i] == '/';
        if (registering && n == 0) registering = 0;
        else if (registering && route_known < ROUTE_MOST) route_register(&mem, data, n);
        else if (!registering && (n == 0 || *data == '/') && slashes < ROUTE_SEGMENTS)
            route_look_up(data, n);
        whole += stop != NULL;
        size -= whole;
        data += whole;
    }
    while (route_list != NULL) {
        azc__route *route = route_list;
        route_list = route->next;
        free(route->target);
        azc__route_free(&mem, route);
    }
    FUZZ_CHECK(memory.bytes == 0 && memory.blocks == 0);
    return 0;
}
