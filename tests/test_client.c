/* CLIENT: the page's script over HTTP, and the server's side of its convention. What the script
 * itself does is tested in Node, by tests/interop/client.mjs. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "requests.h"

#define HELLO "{\"type\":\":hello\",\"ping_ms\":30000,\"pong_ms\":10000}"
#define HELLO_QUIET "{\"type\":\":hello\",\"ping_ms\":0,\"pong_ms\":0}"
#define PING_TEXT "{\"type\":\":ping\"}"
#define PONG_TEXT "{\"type\":\":pong\"}"

static int greeting(azc_conn *conn) { return azc_send_text(conn, "connected", AZC_NUL); }

/* Fails as the text asks, else echoes. */
static int failing(azc_conn *conn, const char *text, size_t len) {
    if (strstr(text, "json") != NULL) return AZC_ERR_JSON;
    if (strstr(text, "fail") != NULL) return AZC_ERR_APP;
    return azc_send_text(conn, text, len);
}

static int ignore_part(azc_conn *conn, const void *data, size_t len, int flags) {
    return (void)conn, (void)data, (void)len, (void)flags, AZC_OK;
}

static azc_server *with_client(const azc_config *config, azc_channel_desc desc) {
    azc_server *server = create(config);
    CHECK((served = azc_add_channel(server, &desc)) != NULL);
    CHECK_INT(azc_add_client(server, "/azchan.js"), AZC_OK);
    listening(server);
    return server;
}

static azc_channel_desc replier(void) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t";
    d.on_connect = greeting;
    d.on_message = failing;
    return d;
}

/* ---- The script ---- */

#define GET_SCRIPT "GET /azchan.js HTTP/1.1\r\nHost: a.example\r\n"

static void test_script(void) {
    TEST("the script is served with its type, its length and a strong tag") {
        azc_server *server = with_client(NULL, replier());
        CHECK_INT(ask(server, GET_SCRIPT "\r\n"), 200);
        CHECK_STR(answer_field(&got, "Content-Type", NULL), "text/javascript; charset=utf-8");
        CHECK_STR(answer_field(&got, "Cache-Control", NULL), "no-cache");
        CHECK_STR(answer_field(&got, "ETag", NULL), AZC__CLIENT_TAG);
        CHECK(*AZC__CLIENT_TAG == '"' && strlen(AZC__CLIENT_TAG) >= 10);
        CHECK_INT(got.len, AZC__CLIENT_LEN);
        CHECK_INT(strlen(got.body), AZC__CLIENT_LEN);
        CHECK(strncmp(got.body, "globalThis.AzChannel = ", 23) == 0);
        CHECK_STR(got.body + got.len - 3, "};\n");
        finish(server);
    }
    TEST("a browser that has the script gets 304, and one that has another gets 200") {
        azc_server *server = with_client(NULL, replier());
        CHECK_INT(ask(server, GET_SCRIPT "If-None-Match: " AZC__CLIENT_TAG "\r\n\r\n"), 304);
        CHECK_STR(answer_field(&got, "ETag", NULL), AZC__CLIENT_TAG);
        CHECK_INT(got.len, 0);
        CHECK_INT(ask(server, GET_SCRIPT "If-None-Match: \"a\", W/" AZC__CLIENT_TAG "\r\n\r\n"),
                  304);
        CHECK_INT(ask(server, GET_SCRIPT "If-None-Match: *\r\n\r\n"), 304);
        CHECK_INT(ask(server, GET_SCRIPT "If-None-Match: \"old\"\r\n\r\n"), 200);
        CHECK_INT(ask(server, "HEAD /azchan.js HTTP/1.1\r\nHost: a.example\r\n\r\n"), 200);
        finish(server);
    }
    TEST("azc_add_client has the errors of azc_add_handler") {
        azc_server *server = create(NULL);
        CHECK_INT(azc_add_client(NULL, "/azchan.js"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_client(server, "azchan.js"), AZC_ERR_PATTERN);
        CHECK_INT(azc_add_client(server, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_client(server, "/azchan.js"), AZC_OK);
        CHECK_INT(azc_add_client(server, "/azchan.js"), AZC_ERR_CONFLICT);
        finish(server);
        server = with_client(NULL, replier());
        CHECK_INT(azc_add_client(server, "/again.js"), AZC_ERR_STATE);
        finish(server);
    }
}

/* ---- The convention ---- */

static void test_convention(void) {
    TEST("a peer that opts in is greeted before on_connect, and its :ping is answered") {
        azc_server *server = with_client(NULL, replier());
        client *c = join_channel(server, "/t?azchan=1");
        EXPECT_TEXT(c, HELLO);
        EXPECT_TEXT(c, "connected");
        client_text(c, PING_TEXT);
        EXPECT_TEXT(c, PONG_TEXT);
        client_text(c, "{\"type\": \":ping\"}");
        EXPECT_TEXT(c, "{\"type\": \":ping\"}");
        client_text(c, "{\"type\":\":pinh\"}");
        EXPECT_TEXT(c, "{\"type\":\":pinh\"}");
        finish(server);
    }
    TEST("a peer that does not opt in gets the bytes that it gets without azc_add_client") {
        static const char *const targets[] = {"/t", "/t?azchan=2", "/t?azchan", "/t?azcha=1"};
        for (int with = 0; with < 2; with++) {
            for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
                azc_server *server = with ? with_client(NULL, replier()) : serve(NULL, replier());
                client *c = join_channel(server, targets[i]);
                EXPECT_TEXT(c, "connected");
                client_text(c, PING_TEXT);
                EXPECT_TEXT(c, PING_TEXT);
                client_text(c, "{\"ref\":7,\"fail\":1}");
                EXPECT_TEXT(c, "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\"}");
                client_text(c, "json");
                EXPECT_TEXT(c, "{\"type\":\"error\",\"code\":\"INVALID_JSON\"}");
                client_bye(c, 1000, "");
                EXPECT_CLOSE(c, 1000, NULL);
                finish(server);
            }
        }
    }
    TEST("peers beside each other get their own: one opted in, one not") {
        azc_server *server = with_client(NULL, replier());
        client *in = join_channel(server, "/t?azchan=1"), *out = join_channel(server, "/t");
        EXPECT_TEXT(in, HELLO);
        EXPECT_TEXT(in, "connected");
        EXPECT_TEXT(out, "connected");
        client_text(in, "{\"ref\":1,\"fail\":1}");
        EXPECT_TEXT(in, "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\",\"ref\":1}");
        client_text(out, "{\"ref\":1,\"fail\":1}");
        EXPECT_TEXT(out, "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\"}");
        finish(server);
    }
    TEST("the error of a request has its ref, if that is a number or a string of 64 bytes") {
        azc_server *server = with_client(NULL, replier());
        client *c = join_channel(server, "/t?azchan=1");
        EXPECT_TEXT(c, HELLO);
        EXPECT_TEXT(c, "connected");
        client_text(c, "{\"ref\":\"a\\u0022b\",\"fail\":1}");
        EXPECT_TEXT(c, "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\",\"ref\":\"a\\u0022b\"}");
        client_text(c, "{\"fail\":1}");
        EXPECT_TEXT(c, "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\"}");
        client_text(c, "{\"ref\":[1],\"fail\":1}");
        EXPECT_TEXT(c, "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\"}");
        client_text(c, "{\"ref\":\"1234567890123456789012345678901234567890123456789012345678901"
                       "234567\",\"fail\":1}");
        EXPECT_TEXT(c, "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\"}");
        client_text(c, "not json");
        EXPECT_TEXT(c, "{\"type\":\"error\",\"code\":\"INVALID_JSON\"}");
        client_frame(c, FIN | BINARY, "fail", 4);
        EXPECT_CLOSE(c, 1003, NULL);
        finish(server);
    }
    TEST("without heartbeats the greeting has zeros: ping_ms or pong_ms is never, or on_part") {
        for (int i = 0; i < 3; i++) {
            azc_config config = quick();
            if (i == 0) config.ping_ms = -1;
            if (i == 1) config.pong_ms = -1;
            azc_server *server = create(&config);
            azc_channel_desc d = replier();
            d.on_connect = NULL;
            served = azc_add_channel(server, &d);
            if (i == 2) CHECK_INT(azc_on_part(served, ignore_part), AZC_OK);
            CHECK_INT(azc_add_client(server, "/azchan.js"), AZC_OK);
            listening(server);
            client *c = join_channel(server, "/t?azchan=1");
            EXPECT_TEXT(c, HELLO_QUIET);
            finish(server);
        }
    }
    TEST("a :ping reaches no callback, also where a channel takes only binary messages") {
        azc_channel_desc d = replier();
        d.on_connect = NULL;
        d.on_message = NULL;
        d.on_binary = echo_binary;
        azc_server *server = with_client(NULL, d);
        client *c = join_channel(server, "/t?azchan=1");
        EXPECT_TEXT(c, HELLO);
        client_text(c, PING_TEXT);
        EXPECT_TEXT(c, PONG_TEXT);
        client_text(c, "text");
        EXPECT_CLOSE(c, 1003, NULL);
        finish(server);
    }
}

/* ---- Presence ---- */

static int entering(azc_conn *conn) {
    int error = azc_set_user(conn, azc_query(conn, "user"));
    if (error == AZC_OK) error = azc_join(conn, "tea");
    return error == AZC_OK ? azc_send_users(conn, "tea") : error;
}

static void test_presence(void) {
    TEST("a new member gets the list of users, and all get the changes") {
        azc_channel_desc d = replier();
        d.on_connect = entering;
        serve_parts.on_presence = azc_send_presence;
        azc_server *server = serve(NULL, d);
        client *a = join_channel(server, "/t?user=ada");
        EXPECT_TEXT(a, "{\"type\":\":users\",\"room\":\"tea\",\"all\":[\"ada\"]}");
        EXPECT_TEXT(a, "{\"type\":\":users\",\"room\":\"tea\",\"add\":[\"ada\"]}");
        client *b = join_channel(server, "/t?user=b%22");
        EXPECT_TEXT(a, "{\"type\":\":users\",\"room\":\"tea\",\"add\":[\"b\\\"\"]}");
        frame f;
        CHECK(client_read(b, &f) && strstr((char *)f.data, "\"all\":[") != NULL);
        CHECK(strstr((char *)f.data, "\"ada\"") && strstr((char *)f.data, "\"b\\\"\""));
        client_close(b);
        EXPECT_TEXT(a, "{\"type\":\":users\",\"room\":\"tea\",\"remove\":[\"b\\\"\"]}");
        CHECK_INT(azc_send_users(NULL, "tea"), AZC_ERR_ARGUMENT);
        finish(server);
    }
    TEST("a list of any length arrives whole, in several messages") {
        enum { USERS = 60 };
        azc_channel_desc d = replier();
        d.on_connect = entering;
        azc_server *server = serve(NULL, d);
        client *last = NULL;
        char target[300];
        for (int i = 0; i < USERS; i++) {
            snprintf(target, sizeof target, "/t?user=user-%0240d", i);
            last = join_channel(server, target);
        }
        char seen[USERS] = {0};
        int messages = 0, users = 0;
        for (frame f; users < USERS && client_read(last, &f); messages++) {
            azc_json doc;
            CHECK_INT(azc_json_read(&doc, (char *)f.data, f.len), AZC_OK);
            azc_json list = azc_json_get(doc, messages == 0 ? "all" : "add");
            CHECK_INT(list.type, AZC_JSON_ARRAY);
            for (azc_json_iter i = azc_json_each(list); azc_json_next(&i); users++) {
                char name[300];
                CHECK_INT(azc_json_string(i.value, name, sizeof name), 245);
                CHECK_INT(seen[atoi(name + 5) % USERS]++, 0);
            }
        }
        CHECK_INT(users, USERS);
        CHECK(messages > 1);
        finish(server);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    test_script();
    test_convention();
    test_presence();
    return test_end();
}
