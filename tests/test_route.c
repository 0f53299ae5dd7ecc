/* ROUTE: which patterns are allowed, which one wins, and the values of its parameters. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "pure.h"

/* ---- A table of routes ----------------------------------------------------------------------- */

static int add(azc__route **list, const char *pattern) {
    azc__route *route = NULL;
    int error = azc__route_parse(&pure_mem, (const char *)placed(pattern, strlen(pattern) + 1),
                                 &route);
    if (error != AZC_OK) {
        CHECK(route == NULL);
        return error;
    }
    route->target = (void *)(uintptr_t)pattern;
    error = azc__route_insert(list, route);
    if (error != AZC_OK) azc__route_free(&pure_mem, route);
    return error;
}

static void clear(azc__route **list) {
    while (*list != NULL) {
        azc__route *route = *list;
        *list = route->next;
        azc__route_free(&pure_mem, route);
    }
    CHECK_INT(memory.bytes, 0);
}

/* Split a path as a request's: against an unreadable page, to just the room that is promised, its
 * bytes and a NUL a segment. Returns the count or -400. */
static char segments[2000];
static int split(const char *path) {
    size_t n = strlen(path), room = n + 1;
    char *out = (char *)guarded_fill('?', room), *end = out;
    int count = azc__route_split(&end, (const char *)placed(path, n), n);
    if (count > 0) memcpy(segments, out, (size_t)(end - out));
    guarded_free(out, room);
    if (count < 0) CHECK_INT(count, -400);
    return count;
}

/* "pattern|value|value" of the winner; NULL for none. */
static const char *find(const azc__route *list, const char *path) {
    static char shown[3000];
    char values[2000], *end = values;
    int count = split(path);
    if (count < 0) return "-400";
    const azc__route *route = azc__route_find(list, segments, count);
    if (route == NULL) return NULL;
    azc__route_values(route, segments, count, &end);
    size_t n = (size_t)(end - values); /* now once more, into just the room that took */
    char *exact = (char *)guarded_fill('?', n), *exact_end = exact;
    azc__route_values(route, segments, count, &exact_end);
    CHECK(exact_end == exact + n && memcmp(exact, values, n) == 0);
    guarded_free(exact, n);
    n = (size_t)snprintf(shown, sizeof shown, "%s", (const char *)route->target);
    for (const char *p = values; p < end; p += strlen(p) + 1)
        n += (size_t)snprintf(shown + n, sizeof shown - n, "|%s", p);
    return shown;
}

/* ---- Patterns -------------------------------------------------------------------------------- */

static int pattern_error(const char *pattern) {
    azc__route *list = NULL;
    int error = add(&list, pattern);
    clear(&list);
    return error;
}

static void patterns(void) {
    TEST("a pattern is a path of literals, :params and a trailing *rest") {
        static const char *const good[] = {"/", "/a", "/a/", "/a/b/c", "/:x", "/:x/:y", "/a/:x/",
            "/*r", "/a/*r", "/:x/*r", "/a:b", "/a*b", "/a*", "/a:", "/.", "/..", "/a.b", "/@!$&'()",
            "/\xC3\xA4", "/:\xC3\xA4", "/::x", "/:*x", "/*:r", "/**"};
        static const char *const bad[] = {"", "a", "a/b", ":x", "*r", "//", "/a//b", "//a", "/a//",
            "/:", "/:/a", "/a/:", "/*", "/a/*", "/*r/", "/*r/a", "/a/*r/b", "/a?b", "/?", "/a#b",
            "/a%20b", "/%2F", "/a b", "/ ", "/a\tb", "/a\n", "/a\x7F", "/\x01", "/\xFF", "/a\xC3",
            "/\xED\xA0\x80", "/:a b", "/:a?", " /a"};
        for (size_t i = 0; i < sizeof good / sizeof *good; i++)
            if (!CHECK_INT(pattern_error(good[i]), AZC_OK)) printf("    %s\n", good[i]);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            if (!CHECK_INT(pattern_error(bad[i]), AZC_ERR_PATTERN)) printf("    %s\n", bad[i]);
    }
    TEST("two parameters of one name are refused, a literal of that name is not") {
        CHECK_INT(pattern_error("/:x/:x"), AZC_ERR_PATTERN);
        CHECK_INT(pattern_error("/:x/a/:x"), AZC_ERR_PATTERN);
        CHECK_INT(pattern_error("/:x/*x"), AZC_ERR_PATTERN);
        CHECK_INT(pattern_error("/a/:y/:x/b/:x"), AZC_ERR_PATTERN);
        CHECK_INT(pattern_error("/x/:x"), AZC_OK);
        CHECK_INT(pattern_error("/:x/x"), AZC_OK);
        CHECK_INT(pattern_error("/:x/:X/:xx"), AZC_OK);
        CHECK_INT(pattern_error("/x/x"), AZC_OK);
    }
    TEST("without memory a pattern is an error, and leaves nothing") {
        memory.none = 1;
        CHECK_INT(pattern_error("/a"), AZC_ERR_MEMORY);
        memory.none = 0;
    }
    TEST("which parameter has a name") {
        azc__route *list = NULL;
        add(&list, "/a/:x/b/:yy/*rest");
        CHECK_INT(azc__route_param(list, "x"), 0);
        CHECK_INT(azc__route_param(list, "yy"), 1);
        CHECK_INT(azc__route_param(list, "rest"), 2);
        CHECK_INT(azc__route_param(list, "a"), -1);
        CHECK_INT(azc__route_param(list, "b"), -1);
        CHECK_INT(azc__route_param(list, "y"), -1);
        CHECK_INT(azc__route_param(list, ":x"), -1);
        CHECK_INT(azc__route_param(list, ""), -1);
        clear(&list);
        add(&list, "/");
        CHECK_INT(azc__route_param(list, ""), -1);
        clear(&list);
    }
}

/* ---- Which pattern wins ---------------------------------------------------------------------- */

/* By its own recursion over encoded paths: literal before :param before *rest, segment by
 * segment from the left; a higher number is better, 0 does not match. */
static unsigned long rank(const char *pattern, const char *path) {
    unsigned long score = 0;
    for (int depth = 0; depth < 10; depth++) {
        size_t n = strcspn(pattern + 1, "/"), m = strcspn(path + 1, "/");
        if (pattern[1] == '*') return (score * 4 + 1) << 2 * (9 - depth);
        if (pattern[1] == ':' && m == 0) return 0;
        if (pattern[1] != ':' && (n != m || strncmp(pattern + 1, path + 1, n) != 0)) return 0;
        score = score * 4 + (pattern[1] == ':' ? 2 : 3);
        pattern += 1 + n;
        path += 1 + m;
        if (*pattern == 0 && *path == 0) return score << 2 * (9 - depth);
        if (*pattern == 0 || *path == 0) return 0;
    }
    return 0;
}

static const char *const rivals[] = {"/a/b", "/a/:x", "/:x/b", "/:x/:y", "/a/*r", "/:x/*r", "/*r"};
enum { RIVALS = 7 };
static const char *const paths[] = {"/", "/a", "/a/", "/a/b", "/a/c", "/c/b", "/c/d", "/c/",
    "/a/b/",
    "/a/b/c", "/c/b/d", "/c", "//", "//b", "/b/a", "/ab/b", "/a/bc", "/a//b"};

static void try_order(const int *order, int count, int *wrong) {
    azc__route *list = NULL;
    for (int i = 0; i < count; i++) *wrong += add(&list, rivals[order[i]]) != AZC_OK;
    for (size_t k = 0; k < sizeof paths / sizeof *paths; k++) {
        const char *best = NULL;
        unsigned long most = 0;
        for (int i = 0; i < count; i++) {
            unsigned long score = rank(rivals[order[i]], paths[k]);
            if (score > most) most = score, best = rivals[order[i]];
        }
        int n = split(paths[k]);
        const azc__route *got = azc__route_find(list, segments, n);
        *wrong += got ? best == NULL || strcmp((const char *)got->target, best) != 0 : best != NULL;
    }
    clear(&list);
}

static void permute(int *order, int fixed, int count, int *wrong) {
    if (fixed == count) try_order(order, count, wrong);
    for (int i = fixed; i < count; i++) {
        int swap = order[fixed];
        order[fixed] = order[i], order[i] = swap;
        permute(order, fixed + 1, count, wrong);
        swap = order[fixed];
        order[fixed] = order[i], order[i] = swap;
    }
}

static void precedence(void) {
    TEST("literal before parameter before rest, in whatever order seven rivals were added") {
        int order[RIVALS] = {0, 1, 2, 3, 4, 5, 6}, wrong = 0;
        azc__route *list = NULL; /* the reference, checked once by hand */
        for (int i = 0; i < RIVALS; i++) add(&list, rivals[i]);
        CHECK_STR(find(list, "/a/b"), "/a/b");
        CHECK_STR(find(list, "/a/c"), "/a/:x|c");
        CHECK_STR(find(list, "/c/b"), "/:x/b|c");
        CHECK_STR(find(list, "/c/d"), "/:x/:y|c|d");
        CHECK_STR(find(list, "/a/b/c"), "/a/*r|b/c");
        CHECK_STR(find(list, "/c/b/d"), "/:x/*r|c|b/d");
        CHECK_STR(find(list, "/a/"), "/a/*r|");
        CHECK_STR(find(list, "/a"), "/*r|a");
        CHECK_STR(find(list, "/"), "/*r|");
        CHECK_STR(find(list, "//b"), "/*r|/b");
        clear(&list);
        permute(order, 0, RIVALS, &wrong);
        CHECK_INT(wrong, 0);
    }
    TEST("every subset of the rivals, too") {
        int wrong = 0;
        for (int set = 0; set < 1 << RIVALS; set++) {
            int order[RIVALS], count = 0;
            for (int i = RIVALS - 1; i >= 0; i--)
                if (set >> i & 1) order[count++] = i;
            try_order(order, count, &wrong);
        }
        CHECK_INT(wrong, 0);
    }
    TEST("a parameter that leads nowhere gives way to the next pattern") {
        azc__route *list = NULL;
        add(&list, "/a/x"), add(&list, "/:p/y"), add(&list, "/a/:q/z");
        CHECK_STR(find(list, "/a/x"), "/a/x");
        CHECK_STR(find(list, "/a/y"), "/:p/y|a");
        CHECK_STR(find(list, "/a/x/z"), "/a/:q/z|x");
        CHECK_STR(find(list, "/a/z"), NULL);
        clear(&list);
    }
    TEST("patterns that could never be told apart conflict, whatever their names") {
        static const char *const pairs[][2] = {{"/a", "/a"}, {"/", "/"}, {"/:x", "/:y"},
            {"/a/:x", "/a/:y"}, {"/*x", "/*y"}, {"/a/*x", "/a/*y"}, {"/:x/b/:y", "/:u/b/:v"},
            {"/a/", "/a/"}, {"/:x/*y", "/:y/*x"}};
        static const char *const distinct[][2] = {{"/a", "/b"}, {"/a", "/a/"}, {"/a", "/:x"},
            {"/:x", "/*x"}, {"/a/:x", "/b/:x"}, {"/:x/a", "/:x/b"}, {"/:x", "/:x/:y"}, {"/", "/*x"},
            {"/a", "/A"}, {"/a/:x", "/:x/a"}, {"/ab/c", "/a/bc"}, {"/x", "/:x"}};
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
            azc__route *list = NULL;
            CHECK_INT(add(&list, "/before"), AZC_OK);
            CHECK_INT(add(&list, pairs[i][0]), AZC_OK);
            CHECK_INT(add(&list, "/:q/:r/:s/:t"), AZC_OK);
            if (!CHECK_INT(add(&list, pairs[i][1]), AZC_ERR_CONFLICT)) printf("    %s\n",
                pairs[i][1]);
            int count = 0;
            for (azc__route *r = list; r != NULL; r = r->next) count++;
            CHECK_INT(count, 3);
            clear(&list);
        }
        for (size_t i = 0; i < sizeof distinct / sizeof *distinct; i++) {
            azc__route *list = NULL;
            CHECK_INT(add(&list, distinct[i][0]), AZC_OK);
            if (!CHECK_INT(add(&list, distinct[i][1]), AZC_OK)) printf("    %s\n", distinct[i][1]);
            clear(&list);
        }
    }
}

/* ---- Paths and values ------------------------------------------------------------------------ */

static void values(void) {
    azc__route *list = NULL;
    TEST("an empty list finds nothing") {
        CHECK_STR(find(NULL, "/"), NULL);
    }
    add(&list, "/"), add(&list, "/rooms/:room_id"), add(&list, "/files/*rest"),
        add(&list, "/x/:a/y/:b"), add(&list, "/dir/"), add(&list, "/\xC3\xA4"),
        add(&list, "/u/:id/*tail");
    TEST("a path is compared after decoding, segment by segment") {
        CHECK_STR(find(list, "/"), "/");
        CHECK_STR(find(list, ""), "/"); /* of an absolute-form target without one */
        CHECK_STR(find(list, "/rooms/lobby"), "/rooms/:room_id|lobby");
        CHECK_STR(find(list, "/r%6Foms/lobby"), "/rooms/:room_id|lobby");
        CHECK_STR(find(list, "/Rooms/lobby"), NULL);
        CHECK_STR(find(list, "/rooms"), NULL);
        CHECK_STR(find(list, "/rooms/lobby/"), NULL);
        CHECK_STR(find(list, "/rooms/lobby/x"), NULL);
        CHECK_STR(find(list, "/%C3%A4"), "/\xC3\xA4");
        CHECK_STR(find(list, "/%c3%a4"), "/\xC3\xA4");
        CHECK_STR(find(list, "/dir/"), "/dir/");
        CHECK_STR(find(list, "/dir"), NULL);
        CHECK_STR(find(list, "/dir%2F"), NULL);
        CHECK_STR(find(list, "/x/1/y/2"), "/x/:a/y/:b|1|2");
    }
    TEST("%2F stays inside its parameter, and a plus is a plus") {
        CHECK_STR(find(list, "/rooms/a%2Fb"), "/rooms/:room_id|a/b");
        CHECK_STR(find(list, "/rooms/a+b%20c"), "/rooms/:room_id|a+b c");
        CHECK_STR(find(list, "/rooms/%E2%82%AC"), "/rooms/:room_id|\xE2\x82\xAC");
        CHECK_STR(find(list, "/rooms%2Fa"), NULL);
        CHECK_STR(find(list, "/rooms/:room_id"), "/rooms/:room_id|:room_id");
    }
    TEST("a parameter is never empty, a rest may be") {
        CHECK_STR(find(list, "/rooms/"), NULL);
        CHECK_STR(find(list, "/x//y/2"), NULL);
        CHECK_STR(find(list, "/x/1/y/"), NULL);
        CHECK_STR(find(list, "/files/"), "/files/*rest|");
        CHECK_STR(find(list, "/u/1/"), "/u/:id/*tail|1|");
        CHECK_STR(find(list, "/u//"), NULL);
    }
    TEST("a rest keeps its slashes, empty segments and all") {
        CHECK_STR(find(list, "/files/a"), "/files/*rest|a");
        CHECK_STR(find(list, "/files/a/b/c"), "/files/*rest|a/b/c");
        CHECK_STR(find(list, "/files/a/"), "/files/*rest|a/");
        CHECK_STR(find(list, "/files//"), "/files/*rest|/");
        CHECK_STR(find(list, "/files//a//b//"), "/files/*rest|/a//b//");
        CHECK_STR(find(list, "/files/a%2Fb/c%20d"), "/files/*rest|a/b/c d");
        CHECK_STR(find(list, "/files/.."), "/files/*rest|..");
        CHECK_STR(find(list, "/u/7/a/b"), "/u/:id/*tail|7|a/b");
    }
    TEST("an escape that cannot be decoded is a 400, with or without a route") {
        static const char *const bad[] = {"/%", "/%2", "/a/%zz/b", "/%00", "/rooms/%00",
            "/rooms/a%00b", "/%FF", "/rooms/%C3", "/rooms/%C3/%A4", "/none/%ED%A0%80",
            "/files/a/%C0%80"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            if (!CHECK_STR(find(list, bad[i]), "-400")) printf("    %s\n", bad[i]);
    }
    TEST("a path has as many segments as slashes") {
        CHECK_INT(split(""), 1);
        CHECK_INT(split("/"), 1);
        CHECK_INT(split("/a"), 1);
        CHECK_INT(split("/a/"), 2);
        CHECK_INT(split("//"), 2);
        CHECK_INT(split("/a//b"), 3);
        CHECK(memcmp(segments, "a\0\0b", 5) == 0);
    }
    clear(&list);
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    patterns();
    precedence();
    values();
    return test_end();
}
