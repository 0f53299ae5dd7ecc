/* REQUEST: azc_path, which guards compare, and the fields that azc_reply_header refuses. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "requests.h"

static char many_bytes[1200];

static const struct {
    const char *name, *value;
    int error;
} lines[] = {
    {"Content-Length", "0", AZC_ERR_ARGUMENT},
    {"content-length", "0", AZC_ERR_ARGUMENT},
    {"Transfer-Encoding", "chunked", AZC_ERR_ARGUMENT},
    {"CONNECTION", "keep-alive", AZC_ERR_ARGUMENT},
    {"Content-Type", "text/html", AZC_ERR_ARGUMENT},
    {"Upgrade", "websocket", AZC_ERR_ARGUMENT},
    {"Trailer", "X", AZC_ERR_ARGUMENT},
    {"Keep-Alive", "timeout=5", AZC_ERR_ARGUMENT},
    {"Proxy-Connection", "close", AZC_ERR_ARGUMENT},
    {"TE", "trailers", AZC_ERR_ARGUMENT},
    {"Sec-WebSocket-Accept", "x", AZC_ERR_ARGUMENT},
    {"sec-websocket-protocol", "x", AZC_ERR_ARGUMENT},
    {"Sec-WebSocket-Extensions", "permessage-deflate", AZC_ERR_ARGUMENT},
    {"Sec-WebSocket-Version", "13", AZC_ERR_ARGUMENT},
    {"Date", "Thu, 01 Jan 1970 00:00:00 GMT", AZC_OK},
    {"Content-Encoding", "identity", AZC_OK},
    {"Content", "x", AZC_OK},
    {"Content-Length-Of-Beam", "9", AZC_OK},
    {"Connections", "9", AZC_OK},
    {"Sec-WebSocke", "9", AZC_OK},
    {"Set-Cookie", "a=b", AZC_OK},
    {"X", many_bytes, AZC_ERR_FULL},                /* 1023 bytes do not fit 1 KiB of lines */
    {"X", many_bytes + 100, AZC_ERR_FULL},          /* nor more, */
    {many_bytes, "x", AZC_ERR_FULL},                /* nor a name of that length */
};

static int replying(azc_conn *conn, void *user) {
    (void)user;
    memset(many_bytes, 'x', sizeof many_bytes - 1);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!CHECK_INT(azc_reply_header(conn, lines[i].name, lines[i].value), lines[i].error))
            printf("    %s\n", lines[i].name);
    CHECK_INT(azc_reply_header(conn, "X", "a\r\nContent-Length: 3"), AZC_ERR_ARGUMENT);
    memset(many_bytes, '\n', sizeof many_bytes - 1);
    CHECK_INT(azc_reply_header(conn, "X", many_bytes), AZC_ERR_ARGUMENT); /* as well as too long */
    return azc_reply(conn, 200, "text/plain", "four", 4);
}

static void answers(void) {
    TEST("azc_reply_header refuses what frames an answer, and says FULL to all that is too long") {
        azc_server *server = create(NULL);
        azc_add_handler(server, "/", replying, NULL);
        listening(server);
        client *c = client_open(server);
        client_print(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK_INT(client_answer(c, &got), 200);
        int n;
        CHECK(answer_field(&got, "Content-Length", &n) != NULL && n == 1);
        CHECK(answer_field(&got, "Content-Type", &n) != NULL && n == 1);
        CHECK(answer_field(&got, "Connection", NULL) == NULL);
        CHECK(answer_field(&got, "Transfer-Encoding", NULL) == NULL);
        CHECK(answer_field(&got, "Date", NULL) != NULL);
        CHECK_STR(got.body, "four");
        EXPECT_SILENCE(c);
        finish(server);
    }
}

/* A guard of /admin and what is below it. */
static int admin_guard(azc_conn *conn, void *user) {
    const char *path = azc_path(conn);
    (void)user;
    if (!CHECK(path != NULL)) return 500;
    note("%s", path);
    return strcmp(path, "/admin") == 0 || strncmp(path, "/admin/", 7) == 0 ? 403 : AZC_OK;
}

static int path_upgrade(azc_conn *conn) {
    note("upgrade %s", azc_path(conn));
    return AZC_OK;
}
static int path_connect(azc_conn *conn) {
    CHECK(azc_path(conn) != NULL);
    return AZC_OK;
}
static int path_page(azc_conn *conn, void *user) {
    (void)user;
    CHECK(azc_path(NULL) == NULL);
    return azc_reply(conn, 200, "text/plain", azc_path(conn), AZC_NUL);
}

static void paths(void) {
    TEST("azc_path is the decoded path that routing uses, whatever the target's form") {
        static const struct {
            const char *target, *path;
            int status;
        } asked[] = {
            {"/admin", "/admin", 403},
            {"/%61dmin", "/admin", 403},
            {"http://h/admin", "/admin", 403},
            {"HTTP://h:80/%61%64min?x=/y", "/admin", 403},
            {"/admin?x", "/admin", 403},
            {"/%61dmin/x", "/admin/x", 403},
            {"/admin%2Fx", "/admin/x", 403}, /* the route is another, a guard sees no difference */
            {"/admin/", "/admin/", 403},
            {"//admin", "//admin", 404},
            {"/a/../admin", "/a/../admin", 404}, /* nothing resolves dots, routing neither */
            {"/files/../admin", "/files/../admin", 200},
            {"/files/a%2f..%2Fb//c", "/files/a/../b//c", 200},
            {"/files/%C3%A9%20+%25", "/files/\xc3\xa9 +%", 200},
            {"http://h", "/", 404},
            {"http://h?q", "/", 404},
        };
        for (int fixed = 0; fixed < 2; fixed++) {
            azc_config config = limits(fixed);
            fix(&config, fixed);
            azc_server *server = create(&config);
            azc_channel_desc d = recorder("/files/t");
            d.on_upgrade = path_upgrade, d.on_connect = path_connect;
            azc_use(server, admin_guard, NULL);
            served = azc_add_channel(server, &d);
            azc_add_handler(server, "/admin", path_page, NULL);
            azc_add_handler(server, "/admin/:x", path_page, NULL);
            azc_add_handler(server, "/files/*rest", path_page, NULL);
            listening(server);
            for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
                char request[256], want[64];
                snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n",
                         asked[i].target);
                if (!CHECK_INT(ask(server, request), asked[i].status)) printf("    %s", request);
                snprintf(want, sizeof want, "%s; ", asked[i].path);
                EXPECT_EVENTS(want);
                if (asked[i].status == 200) CHECK_STR(got.body, asked[i].path);
            }
            CHECK_INT(ask(server, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 204);
            EXPECT_EVENTS("*; ");
            CHECK_INT(ask(server, "GET /files/%74 HTTP/1.1\r\n" UPGRADE "\r\n"), 101);
            tape_clear(&events);
            finish(server);
        }
    }
    TEST("azc_path holds the longest path") {
        azc_config config = quick();
        config.max_request = 1024;
        azc_server *server = create(&config);
        azc_add_handler(server, "/*rest", path_page, NULL);
        listening(server);
        for (int slashes = 0; slashes < 2; slashes++) {
            char path[1024];
            memset(path, slashes ? '/' : 'x', 980), path[0] = '/', path[980] = 0;
            client *c = client_open(server);
            client_print(c, "GET %s HTTP/1.1\r\nHost: a\r\nCookie: a=b\r\n\r\n", path);
            CHECK_INT(client_answer(c, &got), 200);
            CHECK_STR(got.body, path);
        }
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    answers();
    paths();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
