/* LOGIN over real sockets: redirects, cookies, random tokens and the comparison of secrets, on a
 * kernel whose random bytes fail. */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>

static struct {
    int random_error, open_error; /* of getrandom and open; 0: none */
    int opens, calls;
    unsigned char first;          /* getrandom gives first, first + 1 ...; 0: real bytes */
} kernel;

#ifdef __linux__
#include <sys/random.h>
static inline ssize_t kernel_getrandom(void *to, size_t len, unsigned flags) {
    kernel.calls++;
    errno = kernel.random_error;
    if (errno != 0) return -1;
    if (kernel.first == 0) return getrandom(to, len, flags);
    for (size_t i = 0; i < len; i++) ((unsigned char *)to)[i] = (unsigned char)(kernel.first + i);
    return (ssize_t)len;
}
#define getrandom(to, len, flags) kernel_getrandom(to, len, flags)
#endif
static inline int kernel_open(const char *path, int flags) {
    kernel.opens++;
    errno = kernel.open_error;
    return errno != 0 ? -1 : open(path, flags);
}
#define open(path, flags) kernel_open(path, flags)
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#undef open
#undef getrandom
#include "test.h"
#include "requests.h"

/* ---- A server whose handlers make one call --------------------------------------------------- */

/* What the next request's handler does. */
static struct {
    int status, max_age, flags;
    const char *location, *name, *value;
    int result;            /* of the call */
    char words[300];       /* of azc_error, if it failed */
    int (*then)(azc_conn *conn);
} act;

static int acted(azc_conn *conn, int result) {
    act.result = result;
    snprintf(act.words, sizeof act.words, "%s", result ? azc_error(azc_server_of(conn)) : "");
    return act.then != NULL ? act.then(conn) : result;
}

static int redirect(azc_conn *conn, void *user) {
    (void)user;
    return acted(conn, azc_redirect(conn, act.status, act.location));
}

static int cookie(azc_conn *conn, void *user) {
    (void)user;
    acted(conn, azc_set_cookie(conn, act.name, act.value, act.max_age, act.flags));
    return act.result == AZC_OK ? 200 : 500;
}

static int cookie_upgrade(azc_conn *conn) {
    return azc_set_cookie(conn, "seen", "1", 60, 0);
}

static int cookie_connect(azc_conn *conn) {
    act.result = azc_set_cookie(conn, "late", "1", 60, 0);
    return AZC_OK;
}

static int upload(azc_conn *conn, const void *data, size_t len, int flags) {
    (void)data, (void)len;
    if (flags & AZC_PART_LAST) CHECK_INT(azc_set_cookie(conn, "last", "1", 0, 0), AZC_OK);
    if (flags & AZC_PART_LOST) act.result = azc_redirect(conn, 0, "/");
    return flags & AZC_PART_LAST ? azc_redirect(conn, 0, "/done") : AZC_OK;
}

static azc_server *logins(int trust) {
    azc_server *server = create(NULL);
    azc_channel_desc d = recorder("/t");
    memset(&act, 0, sizeof act);
    d.on_upgrade = cookie_upgrade;
    d.on_connect = cookie_connect;
    CHECK((served = azc_add_channel(server, &d)) != NULL);
    if (trust) CHECK_INT(azc_trust_proxies(server, "127.0.0.1"), AZC_OK);
    azc_add_handler(server, "/go", redirect, NULL);
    azc_add_endpoint(server, "POST", "/go", redirect, NULL);
    azc_add_handler(server, "/cookie", cookie, NULL);
    azc_add_upload(server, "PUT", "/up", upload, 1, NULL);
    listening(server);
    return server;
}

#define HOST " HTTP/1.1\r\nHost: a\r\n"

/* ---- Redirects ------------------------------------------------------------------------------- */

static int go(azc_server *server, int status, const char *location) {
    act.status = status, act.location = location;
    return ask(server, "GET /go" HOST "\r\n");
}

static int again(azc_conn *conn) {
    CHECK_INT(azc_redirect(conn, 302, "/other"), AZC_ERR_STATE);
    CHECK_STR(azc_error(azc_server_of(conn)), "azc_redirect: the request is answered");
    CHECK_INT(azc_set_cookie(conn, "a", "b", 0, 0), AZC_ERR_STATE);
    return AZC_OK;
}

static void redirects(void) {
    TEST("a redirect has its status, the place and no body, and the connection goes on") {
        azc_server *server = logins(0);
        static const struct { int status, want; const char *line; } all[] = {
            {0, 303, "HTTP/1.1 303 See Other\r\n"}, {301, 301, "HTTP/1.1 301 Moved Permanently\r\n"},
            {302, 302, "HTTP/1.1 302 Found\r\n"}, {303, 303, "HTTP/1.1 303 See Other\r\n"},
            {307, 307, "HTTP/1.1 307 Redirect\r\n"}, {308, 308, "HTTP/1.1 308 Redirect\r\n"}};
        client *c = client_open(server);
        act.then = again;
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            act.status = all[i].status, act.location = "/a?b=%20#c";
            client_print(c, "POST /go" HOST "Content-Length: 3\r\n\r\na=b");
            CHECK_INT(client_answer(c, &got), all[i].want);
            CHECK(strncmp(got.head, all[i].line, strlen(all[i].line)) == 0);
            CHECK(answer_has(&got, "Location", "/a?b=%20#c"));
            CHECK(answer_has(&got, "Content-Length", "0"));
            CHECK(answer_field(&got, "Content-Type", NULL) == NULL);
            CHECK_INT(act.result, AZC_OK);
        }
        finish(server);
    }
    TEST("a place or status that is wrong is refused, and the answer is a 500 without them") {
        azc_server *server = logins(0);
        static const char *const bad[] = {"", "/a b", "/a\r\nX: y", "/a\n", "\t/", "/\x7f",
                                          "/\xc3\xa4", " /", "/ "};
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            CHECK_INT(go(server, 0, bad[i]), 500);
            CHECK_INT(act.result, AZC_ERR_ARGUMENT);
            CHECK(answer_field(&got, "Location", NULL) == NULL);
            CHECK_STR(act.words, "azc_redirect: location must be printable ASCII without spaces, "
                      "and not empty: percent-encode it");
        }
        static const int none[] = {-1, 1, 200, 300, 304, 305, 306, 309, 404};
        for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
            CHECK_INT(go(server, none[i], "/"), 500);
            CHECK_INT(act.result, AZC_ERR_ARGUMENT);
        }
        CHECK_STR(act.words, "azc_redirect: status 404: must be 301, 302, 303, 307 or 308");
        CHECK_INT(go(server, 0, NULL), 500);
        CHECK_STR(act.words, "azc_redirect: an argument is NULL");
        CHECK_INT(go(server, 0, "/!~"), 303);
        finish(server);
    }
    TEST("a place of up to 1 KiB with its field fits, and a longer one is refused") {
        azc_server *server = logins(0);
        static char text[1100];
        size_t most = AZC__MAX_EXTRA - sizeof "Location: \r\n";
        memset(text, 'a', sizeof text);
        text[most] = 0;
        CHECK_INT(go(server, 0, text), 303);
        CHECK(answer_has(&got, "Location", text));
        text[most] = 'a', text[most + 1] = 0;
        CHECK_INT(go(server, 0, text), 500);
        CHECK_INT(act.result, AZC_ERR_FULL);
        CHECK_STR(act.words, "azc_redirect: Location: all fields together have at most 1024 bytes");
        finish(server);
    }
    TEST("an upload redirects with its last part, and not once it is lost") {
        azc_server *server = logins(0);
        CHECK_INT(ask(server, "PUT /up" HOST "Content-Length: 2\r\n\r\nab"), 303);
        CHECK(answer_has(&got, "Location", "/done"));
        CHECK(answer_has(&got, "Set-Cookie", "last=1; Path=/; HttpOnly; SameSite=Lax"));
        client *c = client_open(server);
        client_print(c, "PUT /up" HOST "Content-Length: 2\r\n\r\na");
        settle(server);
        client_close(c);
        settle(server);
        CHECK_INT(act.result, AZC_ERR_STATE);
        finish(server);
    }
}

/* ---- Cookies --------------------------------------------------------------------------------- */

/* The Set-Cookie field, or NULL if it was refused. */
static const char *baked(azc_server *server, const char *name, const char *value, int max_age,
                         int flags) {
    act.name = name, act.value = value, act.max_age = max_age, act.flags = flags;
    int status = ask(server, "GET /cookie" HOST "X-Forwarded-Proto: https\r\n\r\n");
    CHECK_INT(status, act.result == AZC_OK ? 200 : 500);
    return answer_field(&got, "Set-Cookie", NULL);
}

static int more(azc_conn *conn) {
    int n = 1, result;
    while ((result = azc_set_cookie(conn, "b", "12345678", 0, 0)) == AZC_OK) n++;
    CHECK_INT(result, AZC_ERR_FULL);
    CHECK_INT(n, 1024 / (int)strlen("Set-Cookie: b=12345678; Path=/; HttpOnly; SameSite=Lax\r\n"));
    CHECK_STR(azc_error(azc_server_of(conn)),
              "azc_set_cookie: Set-Cookie: all fields together have at most 1024 bytes");
    return AZC_OK;
}

static void cookies(void) {
    TEST("a cookie is hidden from scripts and other sites by default; flags say otherwise") {
        azc_server *server = logins(0);
        CHECK_STR(baked(server, "id", "abc", 0, 0), "id=abc; Path=/; HttpOnly; SameSite=Lax");
        CHECK_STR(baked(server, "id", "abc", 3600, 0),
                  "id=abc; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
        CHECK_STR(baked(server, "id", "a", 2147483647, AZC_COOKIE_STRICT),
                  "id=a; Path=/; Max-Age=2147483647; HttpOnly; SameSite=Strict");
        CHECK_STR(baked(server, "id", "", 0, AZC_COOKIE_SCRIPT), "id=; Path=/; SameSite=Lax");
        CHECK_STR(baked(server, "id", "a", 0, AZC_COOKIE_SECURE),
                  "id=a; Path=/; HttpOnly; Secure; SameSite=Lax");
        CHECK_STR(baked(server, "id", NULL, 0, 0),
                  "id=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        CHECK_STR(baked(server, "id", NULL, 99, AZC_COOKIE_SCRIPT | AZC_COOKIE_STRICT),
                  "id=; Path=/; Max-Age=0; SameSite=Strict");
        finish(server);
    }
    TEST("a cookie is Secure if a trusted proxy says https, and if its name asks for it") {
        azc_server *server = logins(1);
        CHECK_STR(baked(server, "id", "a", 0, 0), "id=a; Path=/; HttpOnly; Secure; SameSite=Lax");
        act.name = "id", act.value = "b";
        CHECK_INT(ask(server, "GET /cookie" HOST "X-Forwarded-Proto: http\r\n\r\n"), 200);
        CHECK(answer_has(&got, "Set-Cookie", "id=b; Path=/; HttpOnly; SameSite=Lax"));
        finish(server);
        server = logins(0);
        CHECK_STR(baked(server, "__Host-id", "a", 0, 0),
                  "__Host-id=a; Path=/; HttpOnly; Secure; SameSite=Lax");
        CHECK_STR(baked(server, "_id", "a", 0, 0), "_id=a; Path=/; HttpOnly; SameSite=Lax");
        finish(server);
    }
    TEST("a name that is no token and a value with any other byte are refused") {
        azc_server *server = logins(0);
        static const char *const names[] = {"", "a b", "a=b", "a;b", "a\r\nb", "\xc3\xa4", "a,b"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            CHECK(baked(server, names[i], "a", 0, 0) == NULL);
            CHECK_INT(act.result, AZC_ERR_ARGUMENT);
        }
        for (int c = 1; c < 256; c++) {
            char value[] = {'a', (char)c, 'b', 0};
            int good = c > 32 && c < 127 && strchr("\",;\\", c) == NULL;
            CHECK(!!baked(server, "a", value, 0, 0) == good);
            CHECK_INT(act.result, good ? AZC_OK : AZC_ERR_ARGUMENT);
        }
        CHECK_STR(act.words, "azc_set_cookie: name must be a token, and value printable ASCII "
                  "without spaces and \",;\\: encode it, RFC 6265 4.1.1");
        CHECK(baked(server, NULL, "a", 0, 0) == NULL);
        CHECK_STR(act.words, "azc_set_cookie: an argument is NULL");
        CHECK(baked(server, "a", "b", -1, 0) == NULL);
        CHECK_STR(act.words, "azc_set_cookie: max_age -1, flags 0: must not be negative, and of "
                  "AZC_COOKIE_*");
        CHECK(baked(server, "a", "b", 0, 8) == NULL && baked(server, "a", "b", 0, -1) == NULL);
        CHECK_INT(act.result, AZC_ERR_ARGUMENT);
        finish(server);
    }
    TEST("several cookies fit into 1 KiB, and none is cut") {
        azc_server *server = logins(0);
        static char value[1200];
        act.then = more;
        CHECK(baked(server, "b", "12345678", 0, 0) != NULL);
        act.then = NULL;
        int repeated;
        answer_field(&got, "Set-Cookie", &repeated);
        CHECK_INT(repeated, 18);
        memset(value, 'v', sizeof value - 1);
        CHECK(baked(server, "b", value, 0, 0) == NULL);
        CHECK_INT(act.result, AZC_ERR_FULL);
        value[AZC__MAX_EXTRA - sizeof "Set-Cookie: b=; Path=/; HttpOnly; SameSite=Lax\r\n" + 1] = 0;
        CHECK(baked(server, "b", value, 0, 0) == NULL);
        CHECK_INT(act.result, AZC_ERR_FULL);
        value[strlen(value) - 1] = 0;
        const char *field = baked(server, "b", value, 0, 0);
        CHECK(field != NULL && strstr(field, "; SameSite=Lax") != NULL);
        finish(server);
    }
    TEST("a handshake sets a cookie with its 101, and an open connection cannot") {
        azc_server *server = logins(0);
        client *c = client_open(server);
        client_print(c, "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
        CHECK_INT(client_answer(c, &got), 101);
        CHECK(answer_has(&got, "Set-Cookie", "seen=1; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"));
        CHECK_INT(act.result, AZC_ERR_STATE);
        CHECK_INT(azc_set_cookie(member_of(served), "a", "b", 0, 0), AZC_ERR_STATE);
        CHECK_STR(azc_error(server), "azc_set_cookie: no request is at hand: allowed in page "
                  "handlers, azc_use handlers and on_upgrade");
        CHECK_INT(azc_redirect(member_of(served), 0, "/"), AZC_ERR_STATE);
        CHECK_INT(azc_set_cookie(NULL, "a", "b", 0, 0), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_redirect(NULL, 0, "/"), AZC_ERR_ARGUMENT);
        finish(server);
    }
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void tokens(void) {
    TEST("a token has as many characters of base64url as asked for, others each time") {
        azc_server *server = create(NULL);
        static char last[300], text[300];
        memset(&kernel, 0, sizeof kernel);
        for (size_t size = 23; size <= 257; size++) {
            memset(text, '#', sizeof text);
            CHECK_INT(azc_token(server, text, size), AZC_OK);
            CHECK(strlen(text) == size - 1 && strspn(text, letters) == size - 1);
            CHECK(text[size] == '#' && strncmp(text, last, 22) != 0);
            memcpy(last, text, sizeof last);
        }
        finish(server);
    }
    TEST("each character occurs about as often as any other") {
        azc_server *server = create(NULL);
        static char text[257];
        unsigned counts[256] = {0};
        for (int i = 0; i < 250; i++) {
            azc_token(server, text, sizeof text);
            for (const char *p = text; *p; p++) counts[(unsigned char)*p]++;
        }
        for (const char *p = letters; *p; p++) /* 1000 each; 5 times the deviation */
            CHECK(counts[(unsigned char)*p] > 840 && counts[(unsigned char)*p] < 1160);
        finish(server);
    }
#ifdef __linux__
    TEST("six bits of each random byte make a character") {
        azc_server *server = create(NULL);
        static char text[130];
        kernel.first = 128;
        CHECK_INT(azc_token(server, text, 129), AZC_OK);
        kernel.first = 0;
        CHECK(memcmp(text, letters, 64) == 0 && memcmp(text + 64, letters, 65) == 0);
        finish(server);
    }
    TEST("no random bytes, or none yet at boot: an error, and an empty token") {
        azc_server *server = create(NULL);
        static char text[64];
        static const int errors[] = {0, ENOSYS, EPERM, EAGAIN};
        for (int i = 0; i < 8; i++) {
            int error = errors[i % 4], bad = error != 0 && (i >= 4 || error == EAGAIN);
            memset(text, 'x', sizeof text);
            memset(&kernel, 0, sizeof kernel);
            kernel.random_error = error, kernel.open_error = i >= 4 ? ENOENT : 0;
            CHECK_INT(azc_token(server, text, sizeof text), bad ? AZC_ERR_SYSTEM : AZC_OK);
            CHECK_INT(strlen(text), bad ? 0 : 63);
            CHECK_INT(kernel.opens, error == ENOSYS || error == EPERM);
            if (bad)
                CHECK_STR(azc_error(server), "azc_token: neither getrandom nor /dev/urandom gives "
                          "random bytes: try again later");
        }
        memset(&kernel, 0, sizeof kernel);
        finish(server);
    }
#endif
    TEST("a size that is too small to be safe, or too large, is refused") {
        azc_server *server = create(NULL);
        static char text[300];
        static const size_t sizes[] = {0, 1, sizeof(char *), 22, 258, SIZE_MAX};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            strcpy(text, "secret");
            CHECK_INT(azc_token(server, text, sizes[i]), AZC_ERR_ARGUMENT);
            CHECK_STR(text, sizes[i] ? "" : "secret");
        }
        azc_token(server, text, 22);
        CHECK_STR(azc_error(server), "azc_token: size 22: must be from 23, for 132 random bits, to "
                  "257");
        CHECK_INT(azc_token(server, NULL, 23), AZC_ERR_ARGUMENT);
        strcpy(text, "secret");
        CHECK_INT(azc_token(NULL, text, 23), AZC_ERR_ARGUMENT);
        CHECK_STR(text, "");
        finish(server);
    }
}

/* ---- Secrets --------------------------------------------------------------------------------- */

static void secrets(void) {
    TEST("secrets are equal if all of their bytes are, and an empty one equals nothing") {
        static const char *const all[] = {"a", "b", "aa", "ab", "abc", "abd", "bbc", "abcd", "A",
                                          "\x80", "\xff", "a\xff", "a\x7f", "0", "00"};
        size_t n = sizeof all / sizeof *all;
        for (size_t i = 0; i < n * n; i++)
            CHECK_INT(azc_equal(all[i / n], all[i % n]), i / n == i % n);
        for (size_t i = 0; i < n; i++) {
            CHECK(!azc_equal("", all[i]) && !azc_equal(all[i], ""));
            CHECK(!azc_equal(NULL, all[i]) && !azc_equal(all[i], NULL));
        }
        CHECK(!azc_equal("", "") && !azc_equal(NULL, NULL));
    }
    TEST("one different bit anywhere is seen, and nothing behind either end is read") {
        char secret[66], other[66];
        for (size_t len = 1; len <= 64; len++) {
            memset(secret, 'k', len), secret[len] = 0;
            char *there = (char *)guarded(secret, len + 1);
            for (size_t bit = 0; bit < 8 * len; bit++) {
                memcpy(other, secret, sizeof other);
                other[bit / 8] = (char)(other[bit / 8] ^ 1 << bit % 8);
                CHECK(!azc_equal(there, other) && !azc_equal(other, there));
            }
            CHECK(azc_equal(there, secret) && azc_equal(secret, there));
            memset(other, 'k', len + 1), other[len + 1] = 0;
            CHECK(!azc_equal(there, other) && !azc_equal(other, there));
            guarded_free(there, len + 1);
        }
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    redirects();
    cookies();
    tokens();
    secrets();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
