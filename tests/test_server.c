/* SERVER: configuration, several servers, and NULL or bad arguments to every function. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"
#include <limits.h>

static void servers(void) {
    TEST("a bad config is kept for azc_listen to return") {
        for (int i = 0; i < 14; i++) {
            azc_config config = quick();
            if (i == 0) config.port = 65536;
            if (i == 1) config.port = -1;
            if (i == 2) config.max_connections = -5;
            if (i == 3) config.max_request = (size_t)1 << 27; /* six times that is no size_t */
            if (i == 4) config.read_buffer = SIZE_MAX;
            if (i == 5) config.max_message = SIZE_MAX;
            if (i == 6) config.max_backlog = SIZE_MAX;
            if (i == 7) config.max_per_address = -1;
            if (i == 8) config.max_rooms = -1;
            if (i == 9) config.max_memberships = -1;
            if (i == 10) config.max_watched = -1;
            if (i == 11) config.max_timers = -1;
            if (i == 12) config.max_watched = INT_MAX;
            if (i == 13) config.max_timers = INT_MAX;
            azc_server *server = create(&config);
            azc_channel_desc d = recorder("/t");
            azc_add_channel(server, &d);
            int result = azc_listen(server);
            if (!CHECK(result == AZC_ERR_ARGUMENT || result == AZC_ERR_ADDRESS))
                printf("    %d\n", i);
            CHECK(azc_error(server)[0] != 0);
            finish(server);
        }
    }
    TEST("two servers in one process are independent") {
        azc_server *one = create(NULL), *two = create(NULL);
        azc_channel_desc d = recorder("/t");
        azc_channel *c1 = azc_add_channel(one, &d), *c2 = azc_add_channel(two, &d);
        listening(one), listening(two);
        CHECK(azc_port(one) != azc_port(two));
        client *a = join_channel(one, "/t?name=a"), *b = join_channel(two, "/t?name=b");
        CHECK_INT(sent_text(c1, NULL, "one", 3, NULL), 1);
        CHECK_INT(sent_text(c2, NULL, "two", 3, member_of(c1)), 1);
        EXPECT_TEXT(a, "one");
        EXPECT_TEXT(b, "two");
        azc_stop(one);
        EXPECT_CLOSE(a, 1001, NULL);
        client_text(b, "on"), settle(two);
        EXPECT_SILENCE(b);
        EXPECT_EVENTS("a connect; b connect; a close 1001; b text on; ");
        finish(one);
        azc_broadcast(c2, NULL, "still", 5, NULL);
        EXPECT_TEXT(b, "still");
        finish(two);
    }
}

/* The bound of so many connections. */
static size_t bound(int connections, size_t max_message, size_t max_backlog, int max_rooms) {
    azc_config config = quick();
    config.max_connections = connections;
    config.max_message = max_message, config.max_backlog = max_backlog;
    config.max_rooms = max_rooms;
    config.max_per_address = max_rooms > 0;
    return azc_memory_bound(&config);
}

static void memory_bounds(void) {
    const size_t most = SIZE_MAX / 4; /* the largest max_message and max_backlog */
    TEST("azc_memory_bound is SIZE_MAX for more than there can be, and never less than for less") {
        CHECK_INT(bound(16, most, 0, 0) == SIZE_MAX, 1);
        CHECK_INT(bound(4096, 0, most, 0) == SIZE_MAX, 1);
        CHECK_INT(bound(4096, most, most, 0) == SIZE_MAX, 1);
        CHECK_INT(bound(4096, 0, most / 8 * 7 - 24 * 1024 * 1024, 0) == SIZE_MAX, 1);
        size_t before = 0;
        for (size_t size = 1 << 12; size <= most / 2; size *= 2) {
            CHECK(bound(16, size, 0, 0) >= before);
            before = bound(16, size, 0, 0);
            CHECK(before > size); /* and it is not the bound of something smaller */
            CHECK(bound(16, size + size / 3, 0, 0) >= before);
            CHECK(bound(4096, 0, size, 0) >= bound(4096, 0, size / 2, 0));
        }
        for (int n = 16; n <= 4096; n *= 2) /* 32 bits: once 3,938,544 bytes, and once 0 */
            CHECK(bound(n, 0, 914353040, 0) >= bound(n / 2, 0, 914353040, 0));
        CHECK(bound(4096, 0, 914353040, 0) >= SIZE_MAX / 2 || sizeof(size_t) > 4);
        CHECK(bound(4096, 0, (size_t)1 << 29, 0) >= SIZE_MAX / 2 || sizeof(size_t) > 4);
    }
    TEST("azc_memory_bound returns for INT_MAX rooms, which are no table of 0 buckets") {
        size_t most_rooms = bound(16, 0, 0, INT_MAX);
        CHECK(most_rooms >= bound(16, 0, 0, INT_MAX / 2));
        CHECK(most_rooms == SIZE_MAX || sizeof(size_t) > 4);
        azc_config config = quick();
        config.max_rooms = INT_MAX;
        config.max_per_address = 1;
        config.max_connections = 16;
        CHECK_INT(azc__fixed_table(&config), (size_t)1 << 31); /* room_cap is a uint32_t */
    }
}

/* ---- Bad use --------------------------------------------------------------------------------- */

static int null_handler(azc_conn *conn, void *user) { return (void)conn, (void)user, AZC_OK; }
static void null_presence(azc_channel *channel, const char *room, const char *user, int present) {
    (void)channel, (void)room, (void)user, (void)present;
}
static void null_publish(azc_channel *channel, const char *room, const void *data, size_t len,
                         int binary) {
    (void)channel, (void)room, (void)data, (void)len, (void)binary;
}
static void null_room(azc_channel *channel, const char *room, int present) {
    (void)channel, (void)room, (void)present;
}

static void bad_use(void) {
    TEST("NULL to every function is an error or ignored") {
        azc_config config = quick();
        azc_server *server = serve(&config, recorder("/t"));
        client *c = join_channel(server, "/t");
        azc_conn *conn = member_of(served);
        azc_server *other = create(NULL);
        azc_channel_desc d = recorder("/t");
        azc_server *none = NULL;
        azc_conn *nobody = NULL;
        azc_channel *nowhere = NULL;
        CHECK_INT(azc_destroy(none), AZC_OK);
        CHECK_INT(azc_listen(none), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_port(none), 0);
        CHECK_INT(azc_run(none), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_poll(none, 0), AZC_ERR_ARGUMENT);
        azc_stop(none);
        CHECK(azc_error(none) != NULL);
        CHECK(azc_error(server) != NULL);
        CHECK(azc_add_channel(none, &d) == NULL);
        CHECK(azc_add_channel(other, NULL) == NULL);
        d.path = NULL;
        CHECK(azc_add_channel(other, &d) == NULL);
        CHECK_INT(azc_use(none, null_handler, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_use(other, NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_page(none, "/", "t/t", "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_page(other, NULL, "t/t", "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_page(other, "/p", "t/t", NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_handler(none, "/", null_handler, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_handler(other, NULL, null_handler, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_handler(other, "/h", NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_listen(other), AZC_ERR_ARGUMENT); /* the first of these was kept */
        CHECK_INT(azc_send_text(nobody, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send_text(conn, NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send_binary(nobody, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send_binary(conn, NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_ping(nobody, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_ping(conn, NULL, 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_close(nobody, 1000, ""), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_broadcast(nowhere, NULL, "x", 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_broadcast(served, NULL, NULL, 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_broadcast_binary(nowhere, NULL, "x", 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_broadcast_binary(served, NULL, NULL, 1, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_backlog(nobody), 0);
        CHECK_INT(azc_id(nobody), 0);
        CHECK(azc_find(none, 1) == NULL);
        CHECK(azc_data(nobody) == NULL && azc_userdata(nobody) == NULL);
        CHECK(azc_channel_of(nobody) == NULL && azc_server_of(nobody) == NULL);
        CHECK_INT(azc_join(nobody, "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_leave(nobody, "x"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_leave_all(nobody), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_count(nowhere, NULL), 0);
        CHECK_INT(azc_count(nowhere, "x"), 0);
        azc_cursor walk = azc_members(nowhere, NULL);
        CHECK_INT(azc_cursor_next(&walk), 0);
        walk = azc_rooms(nobody);
        CHECK_INT(azc_cursor_next(&walk), 0);
        CHECK_INT(azc_cursor_next(NULL), 0);
        CHECK(azc_param(nobody, "x") == NULL && azc_param(conn, NULL) == NULL);
        CHECK(azc_query(nobody, "x") == NULL && azc_query(conn, NULL) == NULL);
        CHECK(azc_peer(nobody) != NULL);
        CHECK(azc_target(nobody) == NULL && azc_subprotocol(nobody) == NULL);
        CHECK(azc_method(nobody) == NULL);
        CHECK(azc_header(nobody, "x") == NULL && azc_header(conn, NULL) == NULL);
        CHECK(azc_cookie(nobody, "x") == NULL && azc_cookie(conn, NULL) == NULL);
        CHECK_INT(azc_log_to(NULL, NULL, 0), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply(nobody, 200, NULL, "x", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply_header(nobody, "a", "b"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_redirect(nobody, 303, "/"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_set_cookie(nobody, "a", "b", 0, 0), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_token(none, NULL, 23), AZC_ERR_ARGUMENT);
        settle(server);
        EXPECT_SILENCE(c);
        EXPECT_EVENTS("connect; ");
        finish(other);
        finish(server);
    }
    TEST("NULL to every function of JSON is an error, NONE, or ignored") {
        azc_json doc, none;
        memset(&none, 0, sizeof none);
        char buf[64];
        double d;
        int64_t i;
        uint64_t u;
        int b;
        azc_writer w = azc_put_begin(buf, sizeof buf);
        CHECK_INT(azc_json_read(NULL, "1", 1), AZC_ERR_ARGUMENT);
        CHECK(azc_json_read(&doc, NULL, 1) < 0);
        CHECK_INT(doc.type, AZC_JSON_NONE);
        CHECK_INT(azc_json_read(&doc, "{\"a\":\"x\"}", 9), AZC_OK);
        CHECK_INT(azc_json_get(doc, NULL).type, AZC_JSON_NONE);
        CHECK_INT(azc_json_get(none, "a").type, AZC_JSON_NONE);
        CHECK_INT(azc_json_get(azc_json_get(none, "a"), NULL).type, AZC_JSON_NONE);
        CHECK_INT(azc_json_at(none, 0).type, AZC_JSON_NONE);
        CHECK_INT(azc_json_count(none), 0);
        CHECK_INT(azc_json_equals(none, "a"), 0);
        CHECK_INT(azc_json_equals(azc_json_get(doc, "a"), NULL), 0);
        CHECK_INT(azc_json_string(none, buf, sizeof buf), AZC_ERR_TYPE);
        CHECK_STR(buf, "");
        CHECK_INT(azc_json_string(azc_json_get(doc, "a"), NULL, 0), 1);
        CHECK_INT(azc_json_double(none, &d), AZC_ERR_TYPE);
        CHECK_INT(azc_json_int(none, &i), AZC_ERR_TYPE);
        CHECK_INT(azc_json_uint(none, &u), AZC_ERR_TYPE);
        CHECK_INT(azc_json_bool(none, &b), AZC_ERR_TYPE);
        CHECK(d == 0 && i == 0 && u == 0 && b == 0);
        CHECK(azc_json_double(none, NULL) < 0);
        CHECK(azc_json_int(none, NULL) < 0);
        CHECK(azc_json_uint(none, NULL) < 0);
        CHECK(azc_json_bool(none, NULL) < 0);
        azc_json_iter walk = azc_json_each(none);
        CHECK_INT(azc_json_next(&walk), 0);
        CHECK_INT(azc_json_next(NULL), 0);
        azc_put_string(NULL, "a", "b"), azc_put_text(NULL, "a", "b", 1);
        azc_put_int(NULL, "a", 1), azc_put_uint(NULL, "a", 1), azc_put_double(NULL, "a", 1);
        azc_put_bool(NULL, "a", 1), azc_put_null(NULL, "a"), azc_put_json(NULL, "a", doc);
        azc_put_object(NULL, "a"), azc_put_array(NULL, "a"), azc_put_end(NULL);
        CHECK_INT(azc_put_finish(NULL), AZC_ERR_ARGUMENT);
        CHECK(azc_send_json(NULL, &w) < 0);
        CHECK(azc_send_json(NULL, NULL) < 0);
        CHECK(azc_broadcast_json(NULL, NULL, &w, NULL) < 0);
        CHECK(azc_broadcast_json(NULL, NULL, NULL, NULL) < 0);
        w = azc_put_begin(NULL, 0);
        azc_put_int(&w, "a", 1);
        CHECK(azc_put_finish(&w) < 0);
        w = azc_put_begin(buf, sizeof buf);
        azc_put_string(&w, "s", NULL);
        azc_put_json(&w, "n", none);
        CHECK_INT(azc_put_finish(&w), AZC_OK);
        CHECK_STR(w.text, "{\"s\":null,\"n\":null}");
    }
    TEST("azc_create(NULL) has all defaults; without memory it is NULL, and nothing leaks") {
        azc_server *server = azc_create(NULL);
        CHECK(server != NULL);
        CHECK_INT(azc_listen(server), AZC_OK);
        CHECK(azc_port(server) > 0);
        CHECK_INT(azc_poll(server, 0), 1);
        CHECK_INT(azc_destroy(server), AZC_OK);
        int base = descriptors();
        size_t before = memory.bytes;
        for (int n = 1; n < 50; n++) {
            azc_config config = quick();
            config.host = "127.0.0.1", config.origins = "https://a.example";
            memory.fail = n;
            server = azc_create(&config);
            int unused = memory.fail > 0;
            int result = server ? azc_listen(server) : AZC_ERR_MEMORY;
            unused |= memory.fail > 0;
            memory.fail = 0;
            CHECK(result == AZC_OK || result == AZC_ERR_MEMORY);
            if (server) CHECK_INT(azc_destroy(server), AZC_OK);
            CHECK_INT(descriptors(), base);
            CHECK_INT(memory.bytes, before);
            if (unused) break;
        }
    }
    TEST("the parts' callbacks are set before azc_listen, and AZC_ERR_STATE after it") {
        azc_server *server = create(NULL);
        azc_channel_desc d = recorder("/t");
        served = azc_add_channel(server, &d);
        for (int late = 0; late < 2; late++) {
            int want = late ? AZC_ERR_STATE : AZC_OK;
            CHECK_INT(azc_on_part(served, NULL), want);
            CHECK_INT(azc_on_presence(served, null_presence), want);
            CHECK_INT(azc_on_publish(served, null_publish), want);
            CHECK_INT(azc_on_room(served, null_room), want);
            CHECK_INT(azc_trust_proxies(server, "127.0.0.1"), want);
            if (!late) listening(server);
        }
        CHECK_INT(azc_on_part(NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_on_presence(NULL, null_presence), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_on_publish(NULL, null_publish), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_on_room(NULL, null_room), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_trust_proxies(NULL, "127.0.0.1"), AZC_ERR_ARGUMENT);
        client *c = join_channel(server, "/t"); /* a late call breaks nothing */
        client_text(c, "x"), settle(server);
        EXPECT_EVENTS("connect; text x; ");
        finish(server);
    }
    TEST("channels and pages without memory are an error that is kept, and nothing leaks") {
        int failures = 0;
        for (int n = 1; n < 50; n++) {
            azc_server *server = create(NULL);
            azc_channel_desc d = recorder("/a/:b/*c");
            d.subprotocols = "x, y";
            memory.fail = n;
            int ok = azc_use(server, null_handler, NULL) == AZC_OK;
            ok &= azc_add_channel(server, &d) != NULL;
            ok &= azc_add_page(server, "/p", "t/t", "x", 1) == AZC_OK;
            ok &= azc_add_handler(server, "/h", null_handler, NULL) == AZC_OK;
            int unused = memory.fail > 0;
            memory.fail = 0;
            CHECK_INT(azc_listen(server), ok ? AZC_OK : AZC_ERR_MEMORY);
            failures += !ok;
            finish(server);
            if (unused) break;
        }
        CHECK(failures > 0);
    }
}

/* ---- Exceptions, where the implementation is C++ ---------------------------------------------- */

#ifdef __cplusplus
enum { IN_UPGRADE, IN_CONNECT, IN_MESSAGE, IN_BINARY, IN_CLOSE, IN_HANDLER, IN_TIMER, IN_POST,
       IN_WATCH, IN_LOG, IN_DESTROY, IN_MORE, IN_LAST, IN_LEFT, THROWERS };
static int thrower; /* which callback throws */

static int throw_in(int where) {
    if (thrower == where) throw where;
    return AZC_OK;
}
static int throw_upgrade(azc_conn *conn) { return conn ? throw_in(IN_UPGRADE) : 0; }
static int throw_connect(azc_conn *conn) { return azc_join(conn, "x"), throw_in(IN_CONNECT); }
static int throw_message(azc_conn *conn, const char *text, size_t len) {
    azc_send_all(conn, text, len);
    return throw_in(IN_MESSAGE);
}
static int throw_binary(azc_conn *conn, const void *data, size_t len) {
    azc_cursor at = azc_members(azc_channel_of(conn), "x");
    (void)data, (void)len;
    while (azc_cursor_next(&at)) azc_leave(at.conn, "x");
    return throw_in(IN_BINARY);
}
static void throw_close(azc_conn *conn, int code, const char *reason) {
    (void)conn, (void)reason;
    throw_in(code == 1001 ? IN_DESTROY : IN_CLOSE);
}
static int throw_handler(azc_conn *conn, void *userdata) {
    (void)conn, (void)userdata;
    return throw_in(IN_HANDLER), 204;
}
static int begun, over; /* answers in parts; their last calls */
static int throw_more(azc_conn *conn, size_t room, void *where) {
    if (room == 0) return over++, throw_in((int)(intptr_t)where);
    throw_in(IN_MORE);
    return (int)(intptr_t)where == IN_LAST ? azc_reply_end(conn) : AZC_OK;
}
static int throw_parts(azc_conn *conn, void *where) {
    begun++;
    return azc_reply_begin(conn, 200, NULL, AZC_CHUNKED, throw_more, where);
}
static void throw_task(azc_server *server, void *where) {
    (void)server;
    throw_in((int)(intptr_t)where);
}
static void throw_watch(azc_server *server, int fd, int events, void *userdata) {
    (void)events, (void)userdata;
    azc_watch(server, fd, 0, NULL, NULL);
    throw_in(IN_WATCH);
}
static void throw_log(void *userdata, int level, const char *line) {
    (void)level;
    (void)userdata, (void)line;
    throw_in(IN_LOG);
}

static int play_until_thrown(azc_server *server, const int fds[2]) {
    client *a = client_open(server), *b = client_open(server), *c = client_open(server);
    try {
        azc_watch(server, fds[1], AZC_WRITE, throw_watch, NULL);
        azc_after(server, 0, throw_task, (void *)(intptr_t)IN_TIMER);
        azc_post(server, throw_task, (void *)(intptr_t)IN_POST);
        client_print(a, "GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
        for (int i = 0; i < 20; i++) azc_poll(server, 1);
        azc_watch(server, fds[1], 0, NULL, NULL);
        client *d = client_open(server), *e = client_open(server);
        client_print(d, "GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
        client_print(e, "GET /left HTTP/1.1\r\nHost: a\r\n\r\n");
        for (int i = 0; i < 5; i++) azc_poll(server, 1);
        client_close(e);
        for (int i = 0; i < 5; i++) azc_poll(server, 1);
        CHECK_INT(client_upgrade(b, "/t", ""), 101);
        CHECK_INT(client_upgrade(c, "/t", ""), 101);
        client_text(b, "hello"), settle(server);
        client_send(b, "\x82\x81\0\0\0\0x", 7), settle(server);
        client_send(b, "\xff\x81\0\0\0\0x", 7), settle(server); /* RSV bits: logged, closed */
        CHECK_INT(azc_destroy(server), AZC_OK);
    } catch (int) {
        return 1;
    }
    return 0;
}

static void exceptions(void) {
    TEST("after a callback has thrown azc_destroy frees everything")
        for (thrower = 0; thrower <= THROWERS; thrower++) { /* the last: none throws */
            azc_config config = quick();
            azc_channel_desc d;
            memset(&d, 0, sizeof d);
            d.path = "/t", d.on_upgrade = throw_upgrade, d.on_connect = throw_connect;
            d.on_message = throw_message, d.on_binary = throw_binary, d.on_close = throw_close;
            config.log = throw_log;
            azc_server *server = create(&config);
            azc_add_channel(server, &d);
            azc_add_handler(server, "/page", throw_handler, NULL);
            azc_add_handler(server, "/last", throw_parts, (void *)(intptr_t)IN_LAST);
            azc_add_handler(server, "/left", throw_parts, (void *)(intptr_t)IN_LEFT);
            begun = over = 0;
            listening(server);
            int fds[2];
            if (pipe(fds) != 0) abort();
            int thrown = play_until_thrown(server, fds);
            if (!CHECK_INT(thrown, thrower < THROWERS)) printf("    %d\n", thrower);
            close(fds[0]), close(fds[1]);
            for (client *c = clients; c; c = c->next) c->server = server;
            if (!thrown) server = NULL;
            finish(server);
            CHECK_INT(begun, over);
        }
}
#else
static void exceptions(void) {}
#endif

int main(int argc, char **argv) {
    test_start(argc, argv);
    servers();
    memory_bounds();
    bad_use();
    exceptions();
    tape_clear(&events), tape_clear(&log_lines);
    return test_end();
}
