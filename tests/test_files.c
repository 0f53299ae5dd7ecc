/* FILES: types, dates and ranges as pure functions; then folders over real sockets, with real files
 * in a temporary folder (RFC 9110 8.8, 13, 14). */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "test.h"
#include "pure.h"
#include "client.h"

/* ---- Pure ------------------------------------------------------------------------------------ */

static void types(void) {
    TEST("a file's type is that of its extension, in any letter case") {
        static const char *const cases[] = {
            "index.html", "text/html; charset=utf-8", "a.css", "text/css; charset=utf-8",
            "a.js", "text/javascript; charset=utf-8", "a.mjs", "text/javascript; charset=utf-8",
            "a.json", "application/json", "a.js.map", "application/json",
            "a.svg", "image/svg+xml; charset=utf-8", "a.png", "image/png",
            "a.jpg", "image/jpeg", "a.jpeg", "image/jpeg", "a.gif", "image/gif",
            "a.webp", "image/webp", "a.avif", "image/avif", "favicon.ico", "image/x-icon",
            "a.woff", "font/woff", "a.woff2", "font/woff2", "a.ttf", "font/ttf",
            "a.wasm", "application/wasm", "a.txt", "text/plain; charset=utf-8",
            "a.xml", "text/xml; charset=utf-8", "a.pdf", "application/pdf",
            "a.mp4", "video/mp4", "a.webm", "video/webm", "a.mp3", "audio/mpeg",
            "a.wav", "audio/wav", "a.gz", "application/gzip", "a.zip", "application/zip",
            "app.webmanifest", "application/manifest+json",
            "A.HTML", "text/html; charset=utf-8", "a.b.CsS", "text/css; charset=utf-8",
            "a.bin", "application/octet-stream", "html", "application/octet-stream",
            "a.", "application/octet-stream", "a.html~", "application/octet-stream",
            "a.xhtml", "application/octet-stream", "a.text/html", "application/octet-stream",
            "a.0123456789abcdef", "application/octet-stream",
            "a.glb", "application/octet-stream",
        };
        azc_server *server = create(NULL);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i += 2)
            if (!CHECK_STR(azc__file_type(server, cases[i]), cases[i + 1]))
                printf("    %s\n", cases[i]);
        CHECK_INT(azc_add_type(server, "glb", "model/gltf-binary"), AZC_OK);
        CHECK_INT(azc_add_type(server, "html", "text/x"), AZC_OK);
        CHECK_INT(azc_add_type(server, "html", "text/y"), AZC_OK);
        CHECK_INT(azc_add_type(server, "a-b_c1234567890", "a/b"), AZC_OK);
        CHECK_STR(azc__file_type(server, "a.GLB"), "model/gltf-binary");
        CHECK_STR(azc__file_type(server, "a.html"), "text/y"); /* the newest */
        CHECK_STR(azc__file_type(server, "a.css"), "text/css; charset=utf-8");
        CHECK_STR(azc__file_type(server, "a.a-b_c1234567890"), "a/b");
        finish(server);
    }
}

static void dates(void) {
    TEST("dates are written as RFC 9110 5.6.7 wants") {
        static const struct {
            long long t;
            const char *text;
        } cases[] = {
            {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"}, {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
            {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"}, {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
            {2147483647, "Tue, 19 Jan 2038 03:14:07 GMT"},
#if LONG_MAX > INT_MAX
            {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"}, {253402300800, ""},
            {-62167219200, "Sat, 01 Jan 0000 00:00:00 GMT"}, {-62167219201, ""},
            {INT64_MAX, ""}, {INT64_MIN, ""},
#endif
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            char text[AZC__DATE];
            azc__date_write(text, (time_t)cases[i].t);
            CHECK_STR(text, cases[i].text);
        }
    }
    TEST("the order of two dates is that of their times") {
        for (int i = 0; i < 20000; i++) {
            char a[AZC__DATE], b[AZC__DATE];
            long near = random_below(2) ? 100000 : 2;
            time_t t = (time_t)random_below((size_t)INT_MAX - 100000);
            time_t u = t + (time_t)random_below((size_t)near * 2) - near;
            if (u < 0) continue;
            azc__date_write(a, t), azc__date_write(b, u);
            int64_t x = azc__date_order(a), y = azc__date_order(b);
            CHECK(x > 0 && y > 0);
            if (!CHECK((x < y) == (t < u) && (x == y) == (t == u))) printf("    %s %s\n", a, b);
        }
    }
    TEST("what is not such a date has no order") {
        static const char good[] = "Sun, 06 Nov 1994 08:49:37 GMT";
        static const char *const bad[] = {
            "", "0", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT ", "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nox 1994 08:49:37 GMT", "Sun, 06 ovD 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 gmt", "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT", "Sun, -6 Nov 1994 08:49:37 GMT",
        };
        CHECK(azc__date_order(good) > 0);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            if (!CHECK_INT(azc__date_order(bad[i]), -1)) printf("    %s\n", bad[i]);
        for (size_t i = 0; i < sizeof good - 1; i++) { /* cut */
            char text[sizeof good];
            memcpy(text, good, sizeof good);
            text[i] = 0;
            CHECK_INT(azc__date_order((const char *)placed(text, i + 1)), -1);
        }
    }
}

static int range(const char *text, uint64_t size, uint64_t *first, uint64_t *len) {
    *first = 77, *len = 88;
    return azc__range_parse(text, size, first, len);
}

static void ranges(void) {
    TEST("one range is found, and what is none, or several, is ignored") {
        static const struct {
            const char *text;
            uint64_t size;
            int status;
            uint64_t first, len;
        } cases[] = {
            {"bytes=0-0", 10, 206, 0, 1}, {"bytes=0-", 10, 206, 0, 10},
            {"bytes=0-9", 10, 206, 0, 10}, {"bytes=0-10", 10, 206, 0, 10},
            {"bytes=3-5", 10, 206, 3, 3}, {"bytes=9-", 10, 206, 9, 1},
            {"bytes=-1", 10, 206, 9, 1}, {"bytes=-10", 10, 206, 0, 10},
            {"bytes=-11", 10, 206, 0, 10}, {"Bytes=3-5", 10, 206, 3, 3},
            {"bytes=000000000000000000000000003-0000000000000000000000005", 10, 206, 3, 3},
            {"bytes=3-99999999999999999999999999", 10, 206, 3, 7},
            {"bytes=-99999999999999999999999999", 10, 206, 0, 10},
            {"bytes=3-18446744073709551615", 10, 206, 3, 7},
            {"bytes=0-18446744073709551614", UINT64_MAX, 206, 0, UINT64_MAX},
            {"bytes=0-", UINT64_MAX, 206, 0, UINT64_MAX},
            {"bytes=1-", UINT64_MAX, 206, 1, UINT64_MAX - 1},
            {"bytes=10-", 10, 416, 77, 88}, {"bytes=10-20", 10, 416, 77, 88},
            {"bytes=18446744073709551616-", 10, 416, 77, 88},
            {"bytes=99999999999999999999999-99999999999999999999999", 10, 416, 77, 88},
            {"bytes=-0", 10, 416, 77, 88}, {"bytes=-0", 0, 416, 77, 88},
            {"bytes=0-", 0, 416, 77, 88}, {"bytes=0-0", 0, 416, 77, 88},
            {"bytes=-5", 0, 200, 77, 88},
            {"bytes=5-3", 10, 200, 77, 88}, {"bytes=-", 10, 200, 77, 88},
            {"bytes=", 10, 200, 77, 88}, {"bytes", 10, 200, 77, 88}, {"", 10, 200, 77, 88},
            {"byte=0-1", 10, 200, 77, 88}, {"items=0-1", 10, 200, 77, 88},
            {"bytes 0-1", 10, 200, 77, 88}, {"bytes=0-1,3-4", 10, 200, 77, 88},
            {"bytes=0-1,", 10, 200, 77, 88}, {"bytes=,0-1", 10, 200, 77, 88},
            {"bytes= 0-1", 10, 200, 77, 88}, {"bytes=0 -1", 10, 200, 77, 88},
            {"bytes=0- 1", 10, 200, 77, 88}, {"bytes=0-1 ", 10, 200, 77, 88},
            {"bytes=--1", 10, 200, 77, 88}, {"bytes=0--1", 10, 200, 77, 88},
            {"bytes=+0-1", 10, 200, 77, 88}, {"bytes=0x0-1", 10, 200, 77, 88},
            {"bytes=0-1/10", 10, 200, 77, 88}, {"bytes=0", 10, 200, 77, 88},
            {"bytes=0-1-2", 10, 200, 77, 88}, {"bytes=a-b", 10, 200, 77, 88},
            {"?", 10, 200, 77, 88},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            uint64_t first, len;
            const char *text = (const char *)placed(cases[i].text, strlen(cases[i].text) + 1);
            int good = CHECK_INT(range(text, cases[i].size, &first, &len), cases[i].status) &&
                       CHECK(first == cases[i].first && len == cases[i].len);
            if (!good) printf("    %s\n", cases[i].text);
        }
    }
    TEST("any range is within the file, and is what a slow reading of it gives") {
        for (int i = 0; i < 50000; i++) {
            uint64_t size = random_below(12), a = random_below(14), b = random_below(14);
            uint64_t first, len;
            char text[64];
            int kind = (int)random_below(3), ends = 0, starts = 0;
            if (kind == 0) snprintf(text, sizeof text, "bytes=%d-%d", (int)a, (int)b);
            if (kind == 1) snprintf(text, sizeof text, "bytes=%d-", (int)a);
            if (kind == 2) snprintf(text, sizeof text, "bytes=-%d", (int)b);
            int n = 0; /* bytes that it names */
            for (int at = 0; at < (int)size; at++) {
                int in = kind == 0 ? at >= (int)a && at <= (int)b
                         : kind == 1 ? at >= (int)a : at >= (int)size - (int)b;
                if (in && n++ == 0) starts = at;
                if (in) ends = at;
            }
            int status = range(text, size, &first, &len);
            int want = n > 0 ? 206 : kind == 0 && b < a ? 200 : kind == 2 && b > 0 ? 200 : 416;
            if (!CHECK_INT(status, want)) printf("    %s of %d\n", text, (int)size);
            if (status == 206)
                CHECK((int)first == starts && (int)len == n && (int)(first + len) == ends + 1);
        }
    }
}

/* ---- A folder -------------------------------------------------------------------------------- */

enum { LARGE = 3 << 20, WHOLE = AZC__FILE_WHOLE };
static char folder[64], large[LARGE];

static const char *place(const char *name) {
    static char paths[4][400];
    static int at;
    char *path = paths[at++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void file(const char *name, const void *bytes, size_t len) {
    int fd = open(place(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) perror(name), abort();
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, (const char *)bytes + at, len - at);
        if (n < 0) perror(name), abort();
        at += (size_t)n;
    }
    close(fd);
}
static void text_file(const char *name, const char *text) { file(name, text, strlen(text)); }

/* When the file was changed last. */
static void touch(const char *name, long long seconds, long nanoseconds) {
    struct timespec times[2];
    memset(times, 0, sizeof times);
    times[0].tv_sec = times[1].tv_sec = (time_t)seconds;
    times[1].tv_nsec = nanoseconds;
    if (utimensat(AT_FDCWD, place(name), times, 0) != 0) perror(name), abort();
}

static void folder_make(void) {
    char path[400];
    for (size_t i = 0; i < LARGE; i++) large[i] = (char)(i % 251 ^ i >> 10);
    strcpy(folder, "/tmp/azchan-files-XXXXXX");
    if (mkdtemp(folder) == NULL) perror(folder), abort();
    static const char *const folders[] = {"sub", "sub/deep", "empty", "other", "index.html.d",
                                          ".hidden", "d.html", "in", "in/index.html"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) mkdir(place(folders[i]), 0700);
    text_file("index.html", "<h1>root"), text_file("app.js", "let a;"), text_file("none", "");
    text_file("a b+c.txt", "spaces"), text_file("caf\xc3\xa9.txt", "accent");
    text_file("sub/index.html", "<h1>sub"), text_file("sub/deep/a.css", "a{}");
    text_file("other/page.html", "other"), text_file("name.html", "name");
    text_file(".secret", "secret"), text_file(".hidden/a.txt", "secret");
    text_file("sub/.secret", "secret"), text_file("file..name", "dots");
    file("whole", large, WHOLE), file("more", large, WHOLE + 1), file("large.bin", large, LARGE);
    text_file("packed.js", "plain"), text_file("packed.js.gz", "gz");
    text_file("only.js.gz", "gz2");
    text_file("sub/index.html.gz", "gz3"), mkdir(place("folder.js.gz"), 0700);
    text_file("folder.js", "unpacked"), file("big.js.gz", large, LARGE);
    snprintf(path, sizeof path, "%s.outside", folder);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (fd < 0 || write(fd, "outside", 7) != 7) abort();
    close(fd);
    (void)!symlink(path, place("link.txt"));
    (void)!symlink("app.js", place("inner.js"));
    (void)!symlink("sub", place("linked"));
    (void)!symlink("/", place("rootdir"));
    (void)!symlink("..", place("up"));
    (void)!symlink("nowhere", place("dangling"));
    (void)!symlink(path, place("packed2.js.gz"));
    text_file("packed2.js", "plain2");
    mkfifo(place("fifo"), 0600), mkfifo(place("fifo.js.gz"), 0600), text_file("fifo.js", "js");
}

static void folder_remove(void) {
    char command[200];
    snprintf(command, sizeof command, "rm -rf %s %s.outside", folder, folder);
    CHECK_INT(system(command), 0);
}

static answer got;

/* A server with the folder at this path. */
static azc_server *serving(const azc_config *config, const char *path) {
    azc_server *server = create(config);
    CHECK_INT(azc_add_folder(server, path, folder), AZC_OK);
    listening(server);
    return server;
}

static int send_request(client *c, const char *method, const char *target, const char *fields) {
    return client_print(c, "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, target, fields);
}

static int ask(client *c, const char *method, const char *target, const char *fields) {
    send_request(c, method, target, fields);
    return client_answer_to(c, &got, strcmp(method, "HEAD") == 0);
}
static int get(client *c, const char *target, const char *fields) {
    return ask(c, "GET", target, fields);
}

/* On a connection of its own. */
static int once(azc_server *server, const char *target, const char *fields) {
    client *c = client_open(server);
    int status = get(c, target, fields);
    client_close(c);
    return status;
}

#define FIELD(name) answer_field(&got, name, NULL)
static int body_is(const void *bytes, size_t len) {
    return CHECK_INT(got.len, len) && CHECK(memcmp(got.body, bytes, len) == 0);
}

static void serves(void) {
    TEST("a path is a file beneath the folder, with its type, length, version and date") {
        static const char *const cases[] = {
            "/index.html", "<h1>root", "text/html; charset=utf-8", "/", "<h1>root",
            "text/html; charset=utf-8", "/app.js", "let a;", "text/javascript; charset=utf-8",
            "/sub/", "<h1>sub", "text/html; charset=utf-8", "/sub/deep/a.css", "a{}",
            "text/css; charset=utf-8", "/none", "", "application/octet-stream",
            "/a%20b+c.txt", "spaces", "text/plain; charset=utf-8", "/caf%C3%A9.txt", "accent",
            "text/plain; charset=utf-8", "/app.js?v=1", "let a;", "text/javascript; charset=utf-8",
            "/%61pp%2ejs", "let a;", "text/javascript; charset=utf-8",
            "http://a/app.js", "let a;", "text/javascript; charset=utf-8",
            "/packed.js.gz", "gz", "application/gzip",
        };
        azc_server *server = serving(NULL, "/");
        client *c = client_open(server);
        touch("app.js", 784111777, 5);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i += 3) {
            int n;
            CHECK_INT(get(c, cases[i], ""), 200);
            CHECK_STR(got.body, cases[i + 1]);
            CHECK_STR(FIELD("Content-Type"), cases[i + 2]);
            CHECK(answer_field(&got, "ETag", &n) != NULL && n == 1);
            CHECK(answer_field(&got, "Last-Modified", &n) != NULL && n == 1);
            CHECK(answer_has(&got, "Accept-Ranges", "bytes"));
            CHECK(answer_has(&got, "Cache-Control", "no-cache"));
            CHECK(answer_has(&got, "Vary", "Accept-Encoding"));
            CHECK(FIELD("Content-Encoding") == NULL && FIELD("Content-Range") == NULL);
        }
        CHECK_INT(get(c, "/app.js", ""), 200);
        CHECK_STR(FIELD("Last-Modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
        finish(server);
    }
    TEST("files up to 4 KiB and larger ones arrive whole, HEAD without a body") {
        azc_server *server = serving(NULL, "/");
        client *c = client_open(server);
        static const struct {
            const char *name;
            size_t len;
        } cases[] = {{"/none", 0}, {"/whole", WHOLE}, {"/more", WHOLE + 1}, {"/large.bin", LARGE}};
        for (int i = 0; i < 4; i++) {
            CHECK_INT(get(c, cases[i].name, ""), 200);
            body_is(large, cases[i].len);
            CHECK_INT(ask(c, "HEAD", cases[i].name, ""), 200);
            CHECK_INT(atol(FIELD("Content-Length")), (long)cases[i].len);
            EXPECT_SILENCE(c);
        }
        CHECK_INT(get(c, "/large.bin", "Connection: close\r\n"), 200);
        body_is(large, LARGE);
        EXPECT_EOF(c);
        finish(server);
    }
    TEST("a peer of HTTP/1.0, and one that half-closes, get all of a file") {
        azc_server *server = serving(NULL, "/");
        for (int i = 0; i < 2; i++) {
            client *c = client_open(server);
            client_print(c, i ? "GET /large.bin HTTP/1.0\r\n\r\n"
                              : "GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
            if (i == 0) shutdown(c->fd, SHUT_WR);
            CHECK_INT(client_answer(c, &got), 200);
            body_is(large, LARGE);
            EXPECT_EOF(c);
        }
        finish(server);
    }
    TEST("a folder without its slash is 301 to it, relative and with the query") {
        static const char *const cases[] = {
            "/sub", "./sub/", "/sub?", "./sub/?", "/sub?a=/b&c", "./sub/?a=/b&c",
            "/sub/deep", "./deep/", "/%73ub?%0d", "./%73ub/?%0d", "http://evil.example/sub",
            "./sub/", "/d.html", "./d.html/", "/empty", "./empty/",
        };
        azc_server *server = serving(NULL, "/");
        client *c = client_open(server);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i += 2) {
            CHECK_INT(get(c, cases[i], ""), 301);
            CHECK_STR(FIELD("Location"), cases[i + 1]);
            CHECK_INT(ask(c, "HEAD", cases[i], ""), 301);
        }
        char target[3000];
        memset(target, 'q', sizeof target);
        memcpy(target, "/sub?", 5);
        for (int len = 980; len < 1030; len++) { /* as long as a field may be */
            target[len] = 0;
            int status = once(server, target, "");
            if (status == 301) CHECK_INT(strlen(FIELD("Location")), (size_t)len + 2);
            else if (!CHECK_INT(status, 414)) break;
            target[len] = 'q';
        }
        target[2999] = 0;
        CHECK_INT(once(server, target, ""), 414);
        finish(server);
    }
    TEST("only GET and HEAD are allowed, and OPTIONS says so") {
        azc_server *server = serving(NULL, "/");
        static const char *const methods[] = {"POST", "PUT", "DELETE", "PROPFIND"};
        for (int i = 0; i < 4; i++) {
            client *c = client_open(server);
            CHECK_INT(ask(c, methods[i], "/app.js", ""), 405);
            CHECK(answer_has(&got, "Allow", "GET, HEAD, OPTIONS"));
        }
        client *c = client_open(server);
        CHECK_INT(ask(c, "OPTIONS", "/app.js", ""), 204);
        CHECK(answer_has(&got, "Allow", "GET, HEAD, OPTIONS"));
        c = client_open(server);
        CHECK_INT(get(c, "/app.js", "Content-Length: 1\r\n"), 413);
        finish(server);
    }
}

/* What is not there, is not a regular file, or must not be reached. */
static void refuses(void) {
    TEST("nothing leaves the folder, in any spelling, and no name with a dot first is found") {
        static const char *const bad[] = {
            "/missing", "/sub/missing", "/missing/index.html", "/app.js/", "/app.js/x", "/empty/",
            "/in/", "/..", "/../", "/../app.js", "/sub/../app.js", "/sub/..", "/sub/../", "/.",
            "/./", "/./app.js", "/sub/./index.html", "/%2e%2e/app.js", "/%2e%2e%2fapp.js",
            "/sub/%2e%2e/app.js", "/sub%2f..%2fapp.js", "/sub%2Findex.html", "/%2fetc/passwd",
            "/..%2f..%2f..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "//",
            "//app.js", "/sub//index.html", "/sub/deep//", "///etc/passwd", "/.secret",
            "/%2esecret", "/sub/.secret", "/.hidden/", "/.hidden/a.txt", "/.hidden", "/...",
            "/..%5c..%5cetc%5cpasswd", "/..\\..\\etc\\passwd", "/sub\\index.html",
            "/%c0%2e%c0%2e/", "/link.txt", "/inner.js", "/linked/", "/linked/index.html",
            "/linked", "/rootdir/etc/passwd", "/rootdir/", "/up/", "/dangling", "/fifo",
            "/fifo/", "/app.js%20", "/APP.JS", "/%25%32%65%25%32%65/app.js", "/*",
        };
        azc_server *server = serving(NULL, "/");
        int before = descriptors();
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            int status = once(server, bad[i], ""), malformed = strstr(bad[i], "%c0") != NULL;
            if (!CHECK_INT(status, malformed ? 400 : 404)) printf("    %s\n", bad[i]);
            CHECK(got.body == NULL || strstr(got.body, "secret") == NULL);
            CHECK(got.body == NULL || strstr(got.body, "outside") == NULL);
        }
        CHECK_INT(once(server, "/app.js%00.html", ""), 400);
        CHECK_INT(once(server, "/file..name", ""), 200);
        char target[7000];
        memset(target, 'n', sizeof target);
        target[0] = '/', target[300] = 0;
        CHECK_INT(once(server, target, ""), 404); /* ENAMETOOLONG */
        CHECK_INT(once(server, target, "Accept-Encoding: gzip\r\n"), 404);
        target[254] = 0;
        CHECK_INT(once(server, target, "Accept-Encoding: gzip\r\n"), 404);
        for (int i = 0; i < 6999; i += 2) target[i] = '/', target[i + 1] = 'd';
        target[6998] = 0;
        CHECK_INT(once(server, target, ""), 404);
        settle(server);
        CHECK_INT(descriptors(), before);
        finish(server);
    }
    TEST("the log says why there is no file") {
        azc_server *server = serving(NULL, "/");
        CHECK_INT(once(server, "/missing", ""), 404);
        CHECK(strstr(tape_text(&log_lines), "/missing 404") != NULL);
        CHECK(strstr(tape_text(&log_lines), "azc_add_folder: the file: No such file") != NULL);
        finish(server);
    }
    TEST("a file that may not be read is 404") {
        azc_server *server = serving(NULL, "/");
        chmod(place("name.html"), 0);
        if (getuid() != 0) CHECK_INT(once(server, "/name.html", ""), 404);
        chmod(place("name.html"), 0600);
        CHECK_INT(once(server, "/name.html", ""), 200);
        finish(server);
    }
    TEST("without a descriptor for the file it is 503, and is served once there is one") {
        struct rlimit limit, less;
        azc_server *server = serving(NULL, "/");
        client *c = client_open(server), *d = client_open(server);
        settle(server);
        int next = dup(0);
        close(next);
        getrlimit(RLIMIT_NOFILE, &limit);
        less = limit, less.rlim_cur = (rlim_t)next;
        CHECK(setrlimit(RLIMIT_NOFILE, &less) == 0);
        int status = get(c, "/app.js", "Accept-Encoding: gzip\r\n");
        setrlimit(RLIMIT_NOFILE, &limit);
        CHECK_INT(status, 503);
        CHECK_INT(get(d, "/app.js", ""), 200);
        finish(server);
    }
}

static int named(azc_conn *conn, void *user) {
    return azc_reply(conn, 200, "text/plain", user, AZC_NUL);
}

static void routes(void) {
    TEST("pages, handlers and channels go before a folder, a longer path before a shorter one") {
        azc_server *server = create(NULL);
        azc_channel_desc d = recorder("/chat");
        char other[100];
        snprintf(other, sizeof other, "%s/other", folder);
        CHECK_INT(azc_add_folder(server, "/", folder), AZC_OK);
        CHECK_INT(azc_add_folder(server, "/sub/x/", other), AZC_OK);
        CHECK_INT(azc_add_folder(server, "/:any/files/", other), AZC_OK);
        CHECK_INT(azc_add_page(server, "/app.js", "text/x", "page", 4), AZC_OK);
        CHECK_INT(azc_add_handler(server, "/name/:x", named, (void *)"handler"), AZC_OK);
        CHECK(azc_add_channel(server, &d) != NULL);
        d.path = "/app.js";
        CHECK(azc_add_channel(server, &d) != NULL);
        d.path = "/:name";
        CHECK(azc_add_channel(server, &d) != NULL);
        CHECK_INT(azc_add_endpoint(server, "POST", "/note", named, (void *)"posted"), AZC_OK);
        listening(server);
        client *c = client_open(server);
        static const char *const cases[] = {
            "/", "<h1>root", "/app.js", "page", "/name/z", "handler", "/name.html", "name",
            "/sub/", "<h1>sub", "/sub/x/page.html", "other", "/q/files/page.html", "other",
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i += 2) {
            CHECK_INT(get(c, cases[i], ""), 200);
            CHECK_STR(got.body, cases[i + 1]);
        }
        CHECK_INT(get(c, "/sub/x", ""), 301);
        CHECK_STR(FIELD("Location"), "./x/");
        CHECK_INT(get(c, "/q/files?y", ""), 301);
        CHECK_STR(FIELD("Location"), "./files/?y");
        CHECK_INT(client_upgrade(c, "/chat", ""), 101);
        CHECK_INT(client_upgrade(client_open(server), "/app.js", ""), 101);
        CHECK_INT(client_upgrade(client_open(server), "/sub/none", ""), 404);
        CHECK_INT(once(server, "/chat", ""), 426); /* no file, but a channel */
        CHECK_INT(once(server, "/none", ""), 200); /* a file */
        CHECK_INT(once(server, "/sub/x/y", ""), 404);
        c = client_open(server);
        CHECK_INT(ask(c, "HEAD", "/chat", ""), 405);
        CHECK(answer_has(&got, "Allow", "GET, OPTIONS"));
        c = client_open(server);
        CHECK_INT(ask(c, "POST", "/note", "Content-Length: 0\r\n"), 200);
        CHECK_STR(got.body, "posted");
        CHECK_INT(ask(c, "OPTIONS", "/note", ""), 204);
        CHECK(answer_has(&got, "Allow", "GET, HEAD, OPTIONS, POST"));
        finish(server);
    }
}

/* ---- Versions -------------------------------------------------------------------------------- */

static void copy(char to[100], const char *field) {
    const char *value = FIELD(field);
    snprintf(to, 100, "%s", CHECK(value != NULL) ? value : "");
}

static void versions(void) {
    TEST("what the peer has is 304: by its ETag, or without one by its date") {
        azc_server *server = serving(NULL, "/");
        client *c = client_open(server);
        char tag[100], fields[400];
        touch("app.js", 784111777, 0);
        CHECK_INT(get(c, "/app.js", ""), 200);
        copy(tag, "ETag");
#define SINCE "If-Modified-Since: "
        static const struct {
            const char *fields; /* $: the tag */
            int status;
        } cases[] = {
            {"If-None-Match: $\r\n", 304}, {"If-None-Match: W/$\r\n", 304},
            {"If-None-Match: \"x\", $\r\n", 304}, {"If-None-Match: *\r\n", 304},
            {"If-None-Match: \"x\"\r\n", 200},
            {SINCE "Sun, 06 Nov 1994 08:49:37 GMT\r\n", 304},
            {SINCE "Sun, 06 Nov 1994 08:49:38 GMT\r\n", 304},
            {SINCE "Fri, 01 Jan 2038 00:00:00 GMT\r\n", 304},
            {SINCE "Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200},
            {SINCE "Thu, 01 Jan 1970 00:00:00 GMT\r\n", 200},
            {SINCE "Sunday, 06-Nov-94 08:49:37 GMT\r\n", 200}, {SINCE "\r\n", 200},
            {SINCE "tomorrow\r\n", 200},
            {SINCE "Sun, 06 Nov 1994 08:49:37 GMT\r\n" SINCE "x\r\n", 200},
            {"If-None-Match: \"x\"\r\n" SINCE "Sun, 06 Nov 1994 08:49:37 GMT\r\n", 200},
            {"If-None-Match: $\r\n" SINCE "Thu, 01 Jan 1970 00:00:00 GMT\r\n", 304},
            {"If-None-Match: $\r\nRange: bytes=0-1\r\n", 304},
            {SINCE "Sun, 06 Nov 1994 08:49:37 GMT\r\nRange: bytes=99-\r\n", 304},
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            for (int head = 0; head < 2; head++) {
                char *out = fields;
                for (const char *p = cases[i].fields; *p; p++)
                    out = *p == '$' ? stpcpy(out, tag) : (*out = *p, out + 1);
                *out = 0;
                if (!CHECK_INT(ask(c, head ? "HEAD" : "GET", "/app.js", fields), cases[i].status))
                    printf("    %s", fields);
                CHECK(answer_has(&got, "ETag", tag));
                CHECK(answer_has(&got, "Vary", "Accept-Encoding"));
                CHECK(answer_has(&got, "Cache-Control", "no-cache"));
                CHECK((FIELD("Content-Length") == NULL) == (cases[i].status == 304));
            }
        CHECK_INT(get(c, "/large.bin", "If-None-Match: *\r\n"), 304);
        EXPECT_SILENCE(c);
        finish(server);
    }
    TEST("a changed file has another ETag: by its time, its length, or by another file in place") {
        azc_server *server = serving(NULL, "/");
        client *c = client_open(server);
        char tag[5][100];
        text_file("v", "one");
        touch("v", 1000000000, 1), get(c, "/v", ""), copy(tag[0], "ETag");
        touch("v", 1000000000, 2), get(c, "/v", ""), copy(tag[1], "ETag");
        touch("v", 1000000001, 2), get(c, "/v", ""), copy(tag[2], "ETag");
        text_file("v", "three"), touch("v", 1000000001, 2), get(c, "/v", ""), copy(tag[3], "ETag");
        text_file("w", "other"), touch("w", 1000000001, 2);
        CHECK(rename(place("w"), place("v")) == 0);
        get(c, "/v", ""), copy(tag[4], "ETag");
        CHECK_STR(got.body, "other");
        for (int i = 0; i < 5; i++)
            for (int j = 0; j < i; j++) CHECK(strcmp(tag[i], tag[j]) != 0);
        get(c, "/v", "");
        CHECK(answer_has(&got, "ETag", tag[4])); /* unchanged */
        finish(server);
        server = serving(NULL, "/"); /* and the same after a restart */
        c = client_open(server);
        get(c, "/v", "");
        CHECK(answer_has(&got, "ETag", tag[4]));
        finish(server);
    }
    TEST("a date that HTTP cannot write is not sent, and nothing is newer than it") {
        azc_server *server = serving(NULL, "/");
        client *c = client_open(server);
        struct timespec times[2];
        struct stat st;
        memset(times, 0, sizeof times);
        times[1].tv_sec = (time_t)(sizeof(time_t) > 4 ? 253402300800LL : 0);
        text_file("far", "far");
        utimensat(AT_FDCWD, place("far"), times, 0);
        stat(place("far"), &st);
        if (sizeof(time_t) > 4 && st.st_mtime == times[1].tv_sec) { /* the file system has it */
            CHECK_INT(get(c, "/far", SINCE "Fri, 31 Dec 9999 23:59:59 GMT\r\n"), 200);
            CHECK(FIELD("Last-Modified") == NULL && FIELD("ETag") != NULL);
            CHECK_INT(get(c, "/far", "Range: bytes=0-0\r\nIf-Range: x\r\n"), 200);
        }
        finish(server);
    }
}

static void parts(void) {
    TEST("one Range is 206 with its place, what is beyond the end 416, the rest 200") {
        static const struct {
            const char *target, *fields;
            int status;
            size_t first, len;
        } cases[] = {
            {"/large.bin", "Range: bytes=0-0\r\n", 206, 0, 1},
            {"/large.bin", "Range: bytes=0-\r\n", 206, 0, LARGE},
            {"/large.bin", "Range: bytes=1000-50999\r\n", 206, 1000, 50000},
            {"/large.bin", "Range: bytes=3145727-\r\n", 206, LARGE - 1, 1},
            {"/large.bin", "Range: bytes=-4096\r\n", 206, LARGE - WHOLE, WHOLE},
            {"/large.bin", "Range: bytes=-4097\r\n", 206, LARGE - WHOLE - 1, WHOLE + 1},
            {"/large.bin", "Range: bytes=-99999999\r\n", 206, 0, LARGE},
            {"/whole", "Range: bytes=5-99999\r\n", 206, 5, WHOLE - 5},
            {"/large.bin", "Range: bytes=3145728-\r\n", 416, 0, 0},
            {"/large.bin", "Range: bytes=-0\r\n", 416, 0, 0},
            {"/none", "Range: bytes=0-\r\n", 416, 0, 0},
            {"/none", "Range: bytes=-1\r\n", 200, 0, 0},
            {"/whole", "Range: bytes=0-1,3-4\r\n", 200, 0, WHOLE},
            {"/whole", "Range: bytes=4-3\r\n", 200, 0, WHOLE},
            {"/whole", "Range: lines=4-5\r\n", 200, 0, WHOLE},
            {"/whole", "Range: bytes=0-1\r\nRange: bytes=0-1\r\n", 200, 0, WHOLE},
        };
        azc_server *server = serving(NULL, "/");
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            client *c = client_open(server);
            char place_text[100] = "(none)";
            size_t size = strcmp(cases[i].target, "/large.bin") == 0 ? LARGE
                          : strcmp(cases[i].target, "/none") == 0 ? 0 : WHOLE;
            if (!CHECK_INT(get(c, cases[i].target, cases[i].fields), cases[i].status))
                printf("    %s", cases[i].fields);
            if (cases[i].status == 206)
                snprintf(place_text, sizeof place_text, "bytes %lu-%lu/%lu",
                         (unsigned long)cases[i].first,
                         (unsigned long)(cases[i].first + cases[i].len - 1), (unsigned long)size);
            if (cases[i].status == 416)
                snprintf(place_text, sizeof place_text, "bytes */%lu", (unsigned long)size);
            const char *told = FIELD("Content-Range");
            CHECK_STR(told ? told : "(none)", place_text);
            if (cases[i].status == 416) CHECK(FIELD("ETag") == NULL);
            else body_is(large + cases[i].first, cases[i].len), CHECK(FIELD("ETag") != NULL);
            client_close(c);
            c = client_open(server); /* HEAD has no ranges: 9110 14.2 */
            CHECK_INT(ask(c, "HEAD", cases[i].target, cases[i].fields), 200);
            CHECK_INT(atol(FIELD("Content-Length")), (long)size);
            client_close(c);
        }
        finish(server);
    }
    TEST("If-Range: the part if the file is the same, else all of it") {
        azc_server *server = serving(NULL, "/");
        client *c = client_open(server);
        char tag[100], date[100], fields[300];
        CHECK_INT(get(c, "/whole", ""), 200);
        copy(tag, "ETag"), copy(date, "Last-Modified");
        const char *same[] = {tag, date};
        const char *other[] = {"\"x\"", "Sun, 06 Nov 1994 08:49:37 GMT", "", "*",
                               "Fri, 01 Jan 2038 00:00:00 GMT"};
        for (size_t i = 0; i < 2; i++) {
            snprintf(fields, sizeof fields, "Range: bytes=5-9\r\nIf-Range: %s\r\n", same[i]);
            CHECK_INT(get(c, "/whole", fields), 206);
            body_is(large + 5, 5);
            snprintf(fields, sizeof fields, "Range: bytes=99999-\r\nIf-Range: %s\r\n", other[i]);
            CHECK_INT(get(c, "/whole", fields), 200);
        }
        for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
            snprintf(fields, sizeof fields, "Range: bytes=5-9\r\nIf-Range: %s\r\n", other[i]);
            CHECK_INT(get(c, "/whole", fields), 200);
        }
        snprintf(fields, sizeof fields, "Range: bytes=5-9\r\nIf-Range: W/%s\r\n", tag);
        CHECK_INT(get(c, "/whole", fields), 200); /* compared strongly */
        snprintf(fields, sizeof fields, "If-Range: %s\r\n", tag);
        CHECK_INT(get(c, "/whole", fields), 200);
        finish(server);
    }
    TEST("name.gz takes the place of name, if the peer accepts gzip, as another version") {
        azc_server *server = serving(NULL, "/");
        client *c = client_open(server);
#define ACCEPT_GZIP "Accept-Encoding: gzip\r\n"
        static const struct {
            const char *coding;
            int packed;
        } cases[] = {
            {"gzip", 1}, {"GZip", 1}, {"deflate, gzip", 1}, {"gzip;q=1.0", 1},
            {"gzip;q=0.001", 1}, {"br;q=1, gzip ; q=0.5", 1}, {"gzip, deflate, br, zstd", 1},
            {"*;q=0, gzip", 1}, {"gzip;q=0", 0}, {"gzip; q=0.000", 0}, {"gzip;q=0.", 0},
            {"gzip;q=0, br;q=1", 0},
            {"", 0}, {"identity", 0}, {"identity;q=1, *;q=0", 0}, {"br", 0}, {"xgzip", 0},
            {"gzipx", 0}, {"gzip2;q=1", 0}, {"*", 0},
        };
        char plain[100], packed[100], fields[300];
        CHECK_INT(get(c, "/packed.js", ""), 200), copy(plain, "ETag");
        CHECK_INT(get(c, "/packed.js", ACCEPT_GZIP), 200), copy(packed, "ETag");
        CHECK(strcmp(plain, packed) != 0);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            snprintf(fields, sizeof fields, "Accept-Encoding: %s\r\n", cases[i].coding);
            CHECK_INT(get(c, "/packed.js", fields), 200);
            if (!CHECK_STR(got.body, cases[i].packed ? "gz" : "plain"))
                printf("    %s\n", cases[i].coding);
            CHECK_STR(FIELD("Content-Type"), "text/javascript; charset=utf-8");
            const char *coding = FIELD("Content-Encoding");
            CHECK_STR(coding ? coding : "", cases[i].packed ? "gzip" : "");
            CHECK(answer_has(&got, "Vary", "Accept-Encoding"));
            CHECK(answer_has(&got, "ETag", cases[i].packed ? packed : plain));
        }
        snprintf(fields, sizeof fields, ACCEPT_GZIP "If-None-Match: %s\r\n", packed);
        CHECK_INT(get(c, "/packed.js", fields), 304);
        snprintf(fields, sizeof fields, ACCEPT_GZIP "If-None-Match: %s\r\n", plain);
        CHECK_INT(get(c, "/packed.js", fields), 200);
        CHECK_INT(get(c, "/packed.js", ACCEPT_GZIP "Range: bytes=1-\r\n"), 206);
        CHECK_STR(got.body, "z"); /* a part of what was chosen: 9110 14.2 */
        CHECK(answer_has(&got, "Content-Range", "bytes 1-1/2"));
        CHECK(answer_has(&got, "Content-Encoding", "gzip"));
        CHECK_INT(get(c, "/sub/", ACCEPT_GZIP), 200);
        CHECK_STR(got.body, "gz3");
        CHECK_INT(get(c, "/only.js", ACCEPT_GZIP), 200); /* it needs no other */
        CHECK_STR(got.body, "gz2");
        CHECK_INT(get(c, "/folder.js", ACCEPT_GZIP), 200); /* name.gz must be a file */
        CHECK_STR(got.body, "unpacked");
        CHECK_INT(get(c, "/fifo.js", ACCEPT_GZIP), 200);
        CHECK_STR(got.body, "js");
        CHECK_INT(get(c, "/packed2.js", ACCEPT_GZIP), 200); /* and no link */
        CHECK_STR(got.body, "plain2");
        CHECK_INT(get(c, "/sub", ACCEPT_GZIP), 301);
        CHECK_INT(get(c, "/big.js", ACCEPT_GZIP), 200);
        body_is(large, LARGE);
        CHECK_INT(once(server, "/only.js", ""), 404);
        finish(server);
    }
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* Take n bytes of what was sent, at most, without polling the server much. */
static size_t sip(client *c, size_t n) {
    static char piece[65536];
    ssize_t took = recv(c->fd, piece, n < sizeof piece ? n : sizeof piece, 0);
    return took > 0 ? (size_t)took : 0;
}

/* Begin a large answer to a client with a small buffer; the head is taken. */
static client *begin(azc_server *server, const char *target) {
    client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
    send_request(c, "GET", target, "");
    settle(server);
    for (char last[4] = ""; memcmp(last, "\r\n\r\n", 4) != 0;) {
        char byte;
        if (recv(c->fd, &byte, 1, 0) != 1) {
            azc_poll(server, 1);
            continue;
        }
        memmove(last, last + 1, 3), last[3] = byte;
    }
    return c;
}

static void life(void) {
    TEST("requests behind a file are answered behind it, cut at each byte") {
        static const char all[] =
            "GET /more HTTP/1.1\r\nHost: a\r\n\r\nHEAD /more HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /app.js HTTP/1.1\r\nHost: a\r\n\r\n"
            "GET /more HTTP/1.1\r\nHost: a\r\nRange: bytes=-4097\r\n\r\n"
            "GET /sub/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        azc_server *server = serving(NULL, "/");
        for (size_t cut = 0; cut < sizeof all - 1; cut++) {
            client *c = client_open(server);
            client_send(c, all, cut), settle(server);
            client_send(c, all + cut, sizeof all - 1 - cut);
            CHECK_INT(client_answer(c, &got), 200);
            body_is(large, WHOLE + 1);
            CHECK_INT(client_answer_to(c, &got, 1), 200);
            CHECK_INT(client_answer(c, &got), 200);
            CHECK_STR(got.body, "let a;");
            CHECK_INT(client_answer(c, &got), 206);
            body_is(large, WHOLE + 1);
            CHECK_INT(client_answer(c, &got), 200);
            CHECK_STR(got.body, "<h1>sub");
            EXPECT_EOF(c);
            client_close(c);
        }
        finish(server);
    }
    TEST("a file does not overtake what is queued before it") {
        azc_server *server = create(NULL);
        CHECK_INT(azc_add_handler(server, "/long", named, memset(calloc(1, 60001), 'q', 60000)),
                  AZC_OK);
        CHECK_INT(azc_add_folder(server, "/", folder), AZC_OK);
        listening(server);
        client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
        for (int i = 0; i < 3; i++) send_request(c, "GET", "/long", "");
        send_request(c, "GET", "/large.bin", "");
        settle(server), settle(server);
        for (int i = 0; i < 3; i++) {
            CHECK_INT(client_answer(c, &got), 200);
            CHECK(got.len == 60000 && strspn(got.body, "q") == 60000);
        }
        CHECK_INT(client_answer(c, &got), 200);
        body_is(large, LARGE);
        free(((azc__page *)server->page_routes->target)->userdata);
        finish(server);
    }
    TEST("memory and descriptors are flat: slow readers of a large file, and many at once") {
        enum { MANY = 50 };
        azc_server *server = serving(NULL, "/");
        client *c[MANY];
        size_t taken[MANY] = {0};
        int before = descriptors();
        for (int i = 0; i < MANY; i++) c[i] = client_open_to(server, "127.0.0.1",
                                                             azc_port(server), 1);
        settle(server), settle(server);
        size_t bytes = memory.peak = memory.bytes;
        for (int i = 0; i < MANY; i++) send_request(c[i], "GET", "/large.bin", "");
        settle(server);
        CHECK_INT(descriptors(), before + 3 * MANY); /* both ends, and the file */
        for (int round = 0; round < 200; round++) {
            for (int i = 0; i < MANY; i++) taken[i] += sip(c[i], 3000);
            azc_poll(server, 0);
        }
        if (!CHECK(memory.peak - bytes < MANY * 1500))
            printf("    %lu bytes\n", (unsigned long)(memory.peak - bytes));
        for (int i = 0; i < MANY; i += 2) client_reset(c[i]);
        settle(server);
        CHECK_INT(descriptors(), before + 3 * MANY / 2);
        for (int i = 1; i < MANY; i += 2) {
            long long end = now_ms() + WAIT_MS;
            while (taken[i] <= LARGE + 200 && now_ms() < end) {
                size_t n = sip(c[i], 65536);
                taken[i] += n;
                if (n == 0) azc_poll(server, 1);
            }
            CHECK(taken[i] > LARGE + 200 && taken[i] < LARGE + 500); /* with its head */
        }
        settle(server);
        CHECK_INT(descriptors(), before + MANY); /* the files are closed */
        finish(server);
    }
    TEST("a file that is cut short drops the connection; one that grows is sent as it was") {
        azc_server *server = serving(NULL, "/");
        client *c;
        file("moving", large, LARGE);
        c = begin(server, "/moving");
        CHECK(truncate(place("moving"), LARGE / 2) == 0);
        size_t taken = 0;
        for (long long end = now_ms() + WAIT_MS; now_ms() < end && !c->eof; azc_poll(server, 1)) {
            client_fill(c);
            taken += c->len, client_take(c, c->len);
        }
        CHECK(c->eof && taken <= LARGE / 2);
        CHECK(strstr(tape_text(&log_lines), "it was cut short") != NULL);
        file("moving", large, LARGE / 2);
        c = begin(server, "/moving");
        int fd = open(place("moving"), O_WRONLY | O_APPEND);
        CHECK(fd >= 0 && write(fd, large, 100000) == 100000);
        close(fd);
        CHECK(client_await(c, LARGE / 2));
        CHECK(memcmp(c->in, large, LARGE / 2) == 0);
        client_take(c, LARGE / 2);
        EXPECT_SILENCE(c);
        CHECK_INT(get(c, "/app.js", ""), 200);
        finish(server);
    }
    TEST("a file that is replaced or removed meanwhile is sent on from the old one") {
        azc_server *server = serving(NULL, "/");
        for (int i = 0; i < 2; i++) {
            file("moving", large, LARGE);
            client *c = begin(server, "/moving");
            text_file("fresh", "fresh");
            CHECK((i ? unlink(place("moving")) : rename(place("fresh"), place("moving"))) == 0);
            CHECK(client_await(c, LARGE));
            CHECK(memcmp(c->in, large, LARGE) == 0);
            client_take(c, LARGE);
            CHECK_INT(get(c, "/moving", ""), i ? 404 : 200);
            if (i == 0) CHECK_STR(got.body, "fresh");
        }
        finish(server);
    }
    TEST("a reader that makes progress outlives the deadlines, a stalled one does not") {
        azc_config config = quick();
        config.handshake_ms = config.close_ms = 400;
        azc_server *server = serving(&config, "/");
        int before = descriptors();
        client *slow = begin(server, "/large.bin"), *stuck = begin(server, "/large.bin");
        CHECK_INT(descriptors(), before + 6);
        size_t taken = 0;
        for (long long end = now_ms() + 1600; now_ms() < end; pump(server, 5))
            taken += sip(slow, 8000);
        CHECK_INT(descriptors(), before + 4); /* the stuck one's socket and file are gone */
        CHECK(taken < LARGE);
        for (long long end = now_ms() + WAIT_MS; taken < LARGE && now_ms() < end;
             azc_poll(server, 1)) taken += sip(slow, 65536);
        CHECK_INT(taken, LARGE);
        (void)stuck;
        finish(server);
    }
    TEST("a reader that ends its side, and then leaves, raises no SIGPIPE; nor is one lost") {
        azc_server *server = serving(NULL, "/");
        sigset_t set;
        signal(SIGPIPE, SIG_DFL); /* one that comes kills the test */
        for (int blocked = 0; blocked < 2; blocked++) {
            sigemptyset(&set), sigaddset(&set, SIGPIPE);
            sigprocmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
            for (int i = 0; i < 8; i++) {
                client *c = begin(server, "/large.bin");
                shutdown(c->fd, SHUT_WR);
                for (int j = 0; j < i; j++) sip(c, 4000), azc_poll(server, 1);
                client_close(c);
                pump_until(server, azc_stats(server)->connections == 0);
            }
            sigprocmask(SIG_BLOCK, NULL, &set);
            CHECK_INT(sigismember(&set, SIGPIPE), blocked);
        }
        sigemptyset(&set), sigaddset(&set, SIGPIPE);
        struct timespec now = {0, 0};
        while (sigtimedwait(&set, NULL, &now) > 0) {}
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        finish(server);
    }
    TEST("a reader that resets in the middle of a sendfile raises no SIGPIPE") {
        azc_server *server = serving(NULL, "/");
        signal(SIGPIPE, SIG_DFL);
        int port = azc_port(server), status = 1;
        fflush(stdout);
        pid_t child = fork();
        for (int i = 0; child == 0 && i < 300; i++) { /* in a process of its own, at any moment */
            static char piece[65536];
            client *c = client_open_to(NULL, "127.0.0.1", port, 0);
            send_request(c, "GET", "/large.bin", "");
            shutdown(c->fd, SHUT_WR);
            for (size_t got_of = 0; got_of < (size_t)i * 8000;) {
                struct pollfd p = {c->fd, POLLIN, 0};
                if (poll(&p, 1, 100) <= 0) break;
                ssize_t n = recv(c->fd, piece, sizeof piece, 0);
                if (n <= 0) break;
                got_of += (size_t)n;
            }
            client_reset(c);
        }
        if (child == 0) raise(SIGKILL); /* valgrind would look for leaks at an exit */
        while (waitpid(child, &status, WNOHANG) == 0) azc_poll(server, 1);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        pump_until(server, azc_stats(server)->connections == 0);
        finish(server);
    }
    TEST("a stop lets a reader finish, and azc_destroy closes what is open") {
        azc_config config = quick();
        config.close_ms = 60000;
        azc_server *server = serving(&config, "/");
        client *c = begin(server, "/large.bin");
        azc_stop(server);
        CHECK(client_await(c, LARGE));
        CHECK(memcmp(c->in, large, LARGE) == 0);
        client_close(c);
        pump_until(server, azc_poll(server, 1) == 0);
        finish(server);
        server = serving(NULL, "/");
        begin(server, "/large.bin");
        finish(server); /* checks the descriptors */
    }
    TEST("a file that cannot be read any more drops the connection, and the log says why") {
        azc_server *server = serving(NULL, "/");
        client *c = begin(server, "/large.bin");
        azc_conn *conn = server->slots[0];
        int folder = open(".", O_RDONLY | O_DIRECTORY);
        if (CHECK(conn->answering)) dup2(folder, conn->wait.answer->fd);
        close(folder);
        CHECK_INT(client_await(c, LARGE), 0);
        CHECK(strstr(tape_text(&log_lines), strerror(EISDIR)) != NULL);
        finish(server);
    }
    TEST("without sendfile, and in fixed memory, a file arrives as well") {
        static unsigned char block[4 << 20];
        azc_config config = quick();
        config.max_connections = 6, config.max_answers = 2;
        config.max_message = config.read_buffer = 4 << 10, config.max_backlog = 32 << 10;
        create_block.memory = block, create_block.size = azc_memory_bound(&config);
        CHECK(create_block.size > 0 && create_block.size < sizeof block);
        azc_server *server = serving(&config, "/");
        client *c[3];
        static const char *const names[] = {"/", "/whole", "/more", "/large.bin"};
        size_t lens[] = {8, WHOLE, WHOLE + 1, LARGE};
        c[0] = client_open(server);
        for (int round = 0; round < 20; round++)
            for (int i = 0; i < 4; i++) {
                send_request(c[0], "GET", names[i], "");
                azc_poll(server, 1);
                azc_conn *conn = server->slots[0];
                if (round % 2 && conn->answering) conn->nonblocking = 0;
                CHECK_INT(client_answer(c[0], &got), 200);
                body_is(i ? large : "<h1>root", lens[i]);
            }
        for (int i = 0; i < 2; i++) c[i] = begin(server, "/large.bin");
        CHECK_INT(once(server, "/large.bin", ""), 503); /* max_answers */
        CHECK(!answer_field(&got, "ETag", NULL) && !answer_field(&got, "Accept-Ranges", NULL));
        CHECK_INT(once(server, "/app.js", ""), 200);
        for (int i = 0; i < 2; i++) {
            CHECK(client_await(c[i], LARGE));
            CHECK(memcmp(c[i]->in, large, LARGE) == 0);
        }
        CHECK_INT(once(server, "/large.bin", ""), 200);
        finish(server);
    }
}

/* ---- Mistakes -------------------------------------------------------------------------------- */

static void mistake(int error, int want, azc_server *server, const char *words) {
    CHECK_INT(error, want);
    if (!CHECK(strstr(azc_error(server), words) != NULL)) printf("    %s\n", azc_error(server));
    CHECK_INT(azc_listen(server), want);
    finish(server);
}

static void mistakes(void) {
    TEST("wrong arguments are named, and azc_listen returns their error") {
        azc_server *s;
        CHECK_INT(azc_add_folder(NULL, "/", "."), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_type(NULL, "a", "b"), AZC_ERR_ARGUMENT);
        s = create(NULL), mistake(azc_add_folder(s, NULL, "."), AZC_ERR_ARGUMENT, s, "NULL");
        s = create(NULL), mistake(azc_add_folder(s, "/", NULL), AZC_ERR_ARGUMENT, s, "NULL");
        s = create(NULL), mistake(azc_add_folder(s, "/docs", "."), AZC_ERR_PATTERN, s, "a slash");
        s = create(NULL), mistake(azc_add_folder(s, "", "."), AZC_ERR_PATTERN, s, "a slash");
        s = create(NULL), mistake(azc_add_folder(s, "docs/", "."), AZC_ERR_PATTERN, s, "begin");
        s = create(NULL), mistake(azc_add_folder(s, "/a//", "."), AZC_ERR_PATTERN, s, "segment");
        s = create(NULL), mistake(azc_add_folder(s, "/", place("nowhere")), AZC_ERR_SYSTEM, s,
                                  "No such file");
        s = create(NULL), mistake(azc_add_folder(s, "/", place("app.js")), AZC_ERR_SYSTEM, s,
                                  "Not a directory");
        char path[300];
        memset(path, 'p', sizeof path);
        path[0] = '/', path[200] = '/', path[201] = 0;
        s = create(NULL), mistake(azc_add_folder(s, path, "."), AZC_ERR_PATTERN, s, "200 bytes");
        path[199] = '/', path[200] = 0;
        s = create(NULL);
        CHECK_INT(azc_add_folder(s, path, folder), AZC_OK);
        mistake(azc_add_folder(s, path, folder), AZC_ERR_CONFLICT, s, "same pattern");
        s = create(NULL);
        CHECK_INT(azc_add_page(s, "/docs", "a/b", "x", 1), AZC_OK);
        mistake(azc_add_folder(s, "/docs/", folder), AZC_ERR_CONFLICT, s, "\"/docs\"");
        s = create(NULL), mistake(azc_add_type(s, NULL, "b"), AZC_ERR_ARGUMENT, s, "NULL");
        s = create(NULL), mistake(azc_add_type(s, "a", NULL), AZC_ERR_ARGUMENT, s, "NULL");
        s = create(NULL), mistake(azc_add_type(s, "a", "b\n"), AZC_ERR_ARGUMENT, s, "type must");
        static const char *const bad[] = {"", ".glb", "GLB", "a b", "0123456789abcdef"};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
            s = create(NULL), mistake(azc_add_type(s, bad[i], "a/b"), AZC_ERR_ARGUMENT, s, "dot");
    }
    TEST("folders and types cannot be added after azc_listen, nor folders without max_answers") {
        azc_server *server = serving(NULL, "/");
        CHECK_INT(azc_add_folder(server, "/x/", folder), AZC_ERR_STATE);
        CHECK_INT(azc_add_type(server, "x", "a/b"), AZC_ERR_STATE);
        CHECK_INT(once(server, "/app.js", ""), 200);
        finish(server);
        static unsigned char block[1 << 20];
        azc_config config = quick();
        config.max_connections = 2, config.max_message = config.read_buffer = 4 << 10;
        config.max_backlog = 32 << 10;
        create_block.memory = block, create_block.size = azc_memory_bound(&config);
        server = create(&config);
        mistake(azc_add_folder(server, "/", folder), AZC_ERR_STATE, server, "max_answers 0");
    }
    TEST("each allocation of a folder or a type may fail") {
        for (long n = 1; n < 10; n++) {
            azc_server *server = create(NULL);
            memory.fail = n;
            int error = azc_add_type(server, "a", "b/c");
            if (error == AZC_OK) error = azc_add_folder(server, "/docs/", folder);
            int failed = memory.fail == 0;
            memory.fail = 0;
            CHECK_INT(error, failed ? AZC_ERR_MEMORY : AZC_OK);
            CHECK_INT(azc_listen(server), error);
            finish(server);
        }
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    folder_make();
    types();
    dates();
    ranges();
    serves();
    refuses();
    routes();
    versions();
    parts();
    life();
    mistakes();
    folder_remove();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
