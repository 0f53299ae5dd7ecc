/* LOG: the exact words for the typical mistakes of a program, in azc_error and in config.log. A
 * mistake that the log does not have is a result that a correct program meets too, such as a
 * connection that is closed. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include <pthread.h>
#include <sys/wait.h>
#include "requests.h"

/* Lines of config.log, with their level before them. */
static void mistake_line(void *user, int level, const char *line) {
    char number[16];
    CHECK(user == (void *)&log_lines);
    CHECK(strchr(line, '\n') == NULL);
    tape_add(&log_lines, number, (size_t)snprintf(number, sizeof number, "%d ", level));
    tape_add(&log_lines, line, strlen(line));
    tape_add(&log_lines, "\n", 1);
}

static azc_config mistaken(void) {
    azc_config c = quick();
    c.log = mistake_line;
    return c;
}

/* Compare the lines of the log since tape_clear. text NULL: there is none. */
static void expect_lines(const char *text) {
    char want[1024] = "";
    if (text != NULL) snprintf(want, sizeof want, "%d %s\n", AZC_LOG_ERROR, text);
    CHECK_STR(tape_text(&log_lines), want);
}

/* ---- The config ------------------------------------------------------------------------------ */

#define BAD_CONFIG(name, change) static void name(azc_config *c) { change; }
BAD_CONFIG(port_large, c->port = 99999)
BAD_CONFIG(port_negative, c->port = -1)
BAD_CONFIG(connections, c->max_connections = -1)
BAD_CONFIG(per_address, c->max_per_address = -2)
BAD_CONFIG(rooms, c->max_rooms = -1)
BAD_CONFIG(memberships, c->max_memberships = -1)
BAD_CONFIG(watched, c->max_watched = -1)
BAD_CONFIG(timers, c->max_timers = -1)
BAD_CONFIG(too_many_answers, c->max_answers = -1)
BAD_CONFIG(fd_negative, c->listen_fd = -1)
BAD_CONFIG(mode_negative, c->unix_mode = -1)
BAD_CONFIG(level_large, c->log_level = 9)
BAD_CONFIG(read_large, c->read_buffer = (size_t)1 << 30)
BAD_CONFIG(data_large, c->max_data = (size_t)1 << 30)
BAD_CONFIG(setup_large, c->max_setup = (size_t)1 << 30)
BAD_CONFIG(request_large, c->max_request = (size_t)1 << 26)
BAD_CONFIG(message_large, c->max_message = SIZE_MAX)
BAD_CONFIG(backlog_large, c->max_backlog = SIZE_MAX)
BAD_CONFIG(origin_bare, c->origins = "https://a.example b.example")
BAD_CONFIG(origin_slash, c->origins = "https://a.example/")
BAD_CONFIG(origin_ws, c->origins = "ws://a.example")
BAD_CONFIG(origin_comma, c->origins = "http://a.example, http://b.example")
BAD_CONFIG(origin_port, c->origins = "https://a.example:443")
BAD_CONFIG(origin_newline, c->origins = "a\nb")
BAD_CONFIG(host_name, c->host = "example.com")
BAD_CONFIG(host_port, c->host = "127.0.0.1:99999")
BAD_CONFIG(host_newline, c->host = "127.0.0.1\n")
BAD_CONFIG(fd_no_socket, c->listen_fd = 900)

#define BAD_ORIGIN(entry)                                                                        \
    "origins \"" entry "\": must be scheme://host[:port], as browsers send it, or *"
#define BAD_HOST(host)                                                                           \
    "host \"" host "\": must be an IPv4 or IPv6 address or localhost, perhaps with a port up to " \
    "65535, or unix:/path"

/* text may have a %zu, which is number. */
static const struct {
    void (*change)(azc_config *c);
    int code;
    const char *text;
    size_t number;
} bad_configs[] = {
    {port_large, AZC_ERR_ARGUMENT, "port 99999: must be from 0 to 65535", 0},
    {port_negative, AZC_ERR_ARGUMENT, "port -1: must be from 0 to 65535", 0},
    {connections, AZC_ERR_ARGUMENT, "max_connections -1: must be from 0 to %zu", INT_MAX},
    {per_address, AZC_ERR_ARGUMENT, "max_per_address -2: must be from 0 to %zu", INT_MAX},
    {rooms, AZC_ERR_ARGUMENT, "max_rooms -1: must be from 0 to %zu", INT_MAX},
    {memberships, AZC_ERR_ARGUMENT, "max_memberships -1: must be from 0 to %zu", INT_MAX},
    {watched, AZC_ERR_ARGUMENT, "max_watched -1: must be from 0 to %zu", AZC__SLOT_MASK},
    {timers, AZC_ERR_ARGUMENT, "max_timers -1: must be from 0 to %zu", AZC__SLOT_MASK},
    {too_many_answers, AZC_ERR_ARGUMENT, "max_answers -1: must be from 0 to %zu", INT_MAX},
    {fd_negative, AZC_ERR_ARGUMENT, "listen_fd -1: must be from 0 to %zu", INT_MAX},
    {mode_negative, AZC_ERR_ARGUMENT, "unix_mode -1: must be from 0 to %zu", 0777},
    {level_large, AZC_ERR_ARGUMENT, "log_level 9: must be from 0 to 4", 0},
    {read_large, AZC_ERR_ARGUMENT, "read_buffer 1073741824: must be at most 1073741823", 0},
    {data_large, AZC_ERR_ARGUMENT, "max_data 1073741824: must be at most 1073741823", 0},
    {setup_large, AZC_ERR_ARGUMENT, "max_setup 1073741824: must be at most 1073741823", 0},
    {request_large, AZC_ERR_ARGUMENT, "max_request 67108864: must be at most 67108863", 0},
    {origin_bare, AZC_ERR_ARGUMENT, BAD_ORIGIN("b.example"), 0},
    {origin_slash, AZC_ERR_ARGUMENT, BAD_ORIGIN("https://a.example/"), 0},
    {origin_ws, AZC_ERR_ARGUMENT, BAD_ORIGIN("ws://a.example"), 0},
    {origin_comma, AZC_ERR_ARGUMENT, BAD_ORIGIN("http://a.example,"), 0},
    {origin_port, AZC_ERR_ARGUMENT, BAD_ORIGIN("https://a.example:443"), 0},
    {origin_newline, AZC_ERR_ARGUMENT, BAD_ORIGIN("a?b"), 0},
    {host_name, AZC_ERR_ADDRESS, BAD_HOST("example.com"), 0},
    {host_port, AZC_ERR_ADDRESS, BAD_HOST("127.0.0.1:99999"), 0},
    {host_newline, AZC_ERR_ADDRESS, BAD_HOST("127.0.0.1?"), 0},
    {fd_no_socket, AZC_ERR_ADDRESS, "listen_fd 900: must be a listening or a connected socket", 0},
};

/* A server of this config cannot listen. */
static void refuse_config(const azc_config *config, int code, const char *text) {
    azc_server *server = create(config);
    CHECK_INT(azc_listen(server), code);
    CHECK_STR(azc_error(server), text);
    expect_lines(text);
    finish(server);
}

static void configs(void) {
    TEST("each bad field of the config is named, with its value and what is allowed") {
        for (size_t i = 0; i < sizeof bad_configs / sizeof *bad_configs; i++) {
            char text[512];
            azc_config config = mistaken();
            bad_configs[i].change(&config);
            snprintf(text, sizeof text, bad_configs[i].text, bad_configs[i].number);
            refuse_config(&config, bad_configs[i].code, text);
        }
    }
    TEST("a size that is a negative number is named, and the largest that is allowed") {
        char text[512];
        azc_config config = mistaken();
        message_large(&config);
        snprintf(text, sizeof text, "max_message %zu: must be at most %zu", SIZE_MAX, SIZE_MAX / 4);
        refuse_config(&config, AZC_ERR_ARGUMENT, text);
        config = mistaken();
        backlog_large(&config);
        snprintf(text, sizeof text, "max_backlog %zu: must be at most %zu", SIZE_MAX, SIZE_MAX / 4);
        refuse_config(&config, AZC_ERR_ARGUMENT, text);
    }
    TEST("a port that is in use is named") {
        char text[512];
        azc_config config = mistaken();
        azc_server *first = create(&config);
        listening(first);
        config.port = azc_port(first);
        snprintf(text, sizeof text, "port %d on 127.0.0.1: %s: stop the other process or "
                 "choose another port", config.port, strerror(EADDRINUSE));
        refuse_config(&config, AZC_ERR_IN_USE, text);
        finish(first);
    }
    TEST("a memory_size that is too small is named beside azc_memory_bound") {
        static unsigned char block[4 << 20];
        char text[512];
        azc_config config = limits(1);
        config.log = mistake_line;
        size_t bound = azc_memory_bound(&config), size = bound - 1000;
        snprintf(text, sizeof text, "azc_create_in: size %zu: azc_memory_bound says %zu", size,
                 bound);
        if (!CHECK(bound > 1000 && bound <= sizeof block)) return;
        create_block.memory = block, create_block.size = size;
        refuse_config(&config, AZC_ERR_MEMORY, text);
    }
    TEST("azc_log_to after azc_create writes the mistake in the config") {
        char text[512] = "";
        FILE *file = tmpfile();
        azc_config config = quick();
        config.log = NULL, config.port = 99999;
        azc_server *server = create(&config);
        CHECK_INT(azc_log_to(server, file, 0), AZC_OK);
        rewind(file);
        CHECK(fgets(text, sizeof text, file) != NULL);
        CHECK(strstr(text, "Z error port 99999: must be from 0 to 65535\n") == text + 19);
        finish(server);
        fclose(file);
    }
}

/* ---- Calls ----------------------------------------------------------------------------------- */

enum { /* when a mistake is made */
    SETUP,    /* before azc_listen, which must return its error */
    FRESH,    /* before azc_listen, which succeeds */
    READY,    /* between two polls, with conn in the channel */
    IN_MESSAGE,  /* in on_message of conn */
    IN_UPGRADE, /* in on_upgrade */
    IN_HANDLER   /* in a page's handler */
};

static struct {
    azc_server *server;
    azc_channel *channel;
    azc_conn *conn;
    int (*make)(void);
    int made, code;
    char text[512];
    tape lines;
} moment;

static char long_text[70000]; /* filled by main */

static void make_mistake(azc_conn *conn) {
    if (conn != NULL) moment.conn = conn;
    tape_clear(&log_lines);
    moment.made++;
    moment.code = moment.make();
    snprintf(moment.text, sizeof moment.text, "%s", azc_error(moment.server));
    tape_clear(&moment.lines);
    tape_add(&moment.lines, tape_text(&log_lines), log_lines.len);
    tape_clear(&log_lines);
}

static int in_handler(azc_conn *conn, void *user) {
    if (user != NULL) make_mistake(conn);
    return 204;
}
static int in_upgrade(azc_conn *conn) {
    make_mistake(conn);
    return AZC_OK;
}
static int in_message(azc_conn *conn, const char *text, size_t len) {
    (void)text, (void)len;
    make_mistake(conn);
    return AZC_OK;
}
static void on_task(azc_server *server, void *arg) { (void)server, (void)arg; }
static void on_fd(azc_server *server, int fd, int events, void *arg) {
    (void)server, (void)fd, (void)events, (void)arg;
}

#define MAKE(name, code) static int name(void) { return code; }
#define MAKE_CHANNEL(name, change)                                                               \
    static int name(void) {                                                                      \
        azc_channel_desc d = recorder("/x");                                                     \
        change;                                                                                  \
        return azc_add_channel(moment.server, &d) != NULL ? AZC_OK : moment.server->failed;      \
    }
#define MAKE_SEND(name, change)                                                                  \
    static int name(void) {                                                                      \
        azc_message m;                                                                           \
        memset(&m, 0, sizeof m);                                                                 \
        change;                                                                                  \
        return azc_send(moment.channel, &m);                                                       \
    }

/* Before azc_listen. */
MAKE_CHANNEL(path_bare, d.path = "chat")
MAKE_CHANNEL(path_empty, d.path = "")
MAKE_CHANNEL(path_newline, d.path = "a\nb")
MAKE_CHANNEL(path_null, d.path = NULL)
MAKE_CHANNEL(path_no_name, d.path = "/rooms/:")
MAKE_CHANNEL(path_rest, d.path = "/*rest/x")
MAKE_CHANNEL(path_twice, d.path = "/:a/:a")
MAKE_CHANNEL(path_utf8, d.path = "/\xff")
MAKE_CHANNEL(path_again, d.path = "/t")
MAKE_CHANNEL(path_same, azc_add_channel(moment.server, &d); d.path = "/x")
MAKE_CHANNEL(protocol_space, d.subprotocols = "chat v2")
MAKE_CHANNEL(full_seven, d.when_full = 7)
MAKE_CHANNEL(full_negative, d.when_full = -1)
MAKE_CHANNEL(data_size, d.data_size = ((size_t)1 << 30) + 1)
MAKE(desc_null, azc_add_channel(moment.server, NULL) != NULL ? 0 : moment.server->failed)
MAKE(use_null, azc_use(moment.server, NULL, NULL))
MAKE(page_bare, azc_add_page(moment.server, "index.html", "text/html", "", 0))
MAKE(page_null, azc_add_page(moment.server, NULL, "text/html", "", 0))
MAKE(page_no_bytes, azc_add_page(moment.server, "/a", "text/html", NULL, 5))
MAKE(page_type, azc_add_page(moment.server, "/a", "text/html\n", "", 0))
MAKE(page_again, azc_add_page(moment.server, "/p", "text/html", "", 0))
MAKE(handler_null, azc_add_handler(moment.server, "/a", NULL, NULL))
MAKE(log_level, azc_log_to(moment.server, stderr, 9))
MAKE(log_file, azc_log_to(moment.server, NULL, 1))
MAKE(poll_early, azc_poll(moment.server, 0))

/* After it. */
MAKE(use_late, azc_use(moment.server, in_handler, NULL))
MAKE(page_late, azc_add_page(moment.server, "/a", "text/html", "", 0))
MAKE(handler_late, azc_add_handler(moment.server, "/a", in_handler, NULL))
static int channel_late(void) {
    azc_channel_desc d = recorder("/late");
    return azc_add_channel(moment.server, &d) != NULL ? AZC_OK : AZC_ERR_STATE;
}
MAKE(proxies_late, azc_trust_proxies(moment.server, "127.0.0.1"))
MAKE(part_late, azc_on_part(moment.channel, NULL))
MAKE(presence_late, azc_on_presence(moment.channel, NULL))
MAKE(publish_late, azc_on_publish(moment.channel, NULL))
MAKE(room_late, azc_on_room(moment.channel, NULL))

MAKE(text_null, azc_send_text(moment.conn, NULL, 3))
MAKE(text_negative, azc_send_text(moment.conn, "abc", (size_t)-1))
MAKE(text_utf8, azc_send_text(moment.conn, "\xff", 1))
MAKE(binary_null, azc_send_binary(moment.conn, NULL, 3))
MAKE(text_closed, (azc_close(moment.conn, 1000, NULL), azc_send_text(moment.conn, "abc", 3)))
MAKE(close_twice, (azc_close(moment.conn, 1000, NULL), azc_close(moment.conn, 1000, NULL)))
MAKE(join_closed, (azc_close(moment.conn, 1000, NULL), azc_join(moment.conn, "a")))
MAKE(user_closed, (azc_close(moment.conn, 1000, NULL), azc_set_user(moment.conn, "a")))
MAKE(text_too_much, azc_send_text(moment.conn, long_text, 60000))
static int json_open(void) {
    char buf[64];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_array(&w, "list");
    return azc_send_json(moment.conn, &w);
}
static int json_small(void) {
    char buf[8];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "name", "longer");
    return azc_broadcast_json(moment.channel, NULL, &w, NULL);
}
MAKE(close_code, azc_close(moment.conn, 999, NULL))
MAKE(close_reason, azc_close(moment.conn, 1000, long_text + sizeof long_text - 125))
MAKE(close_none, azc_close(moment.conn, 0, "a reason"))
MAKE(close_utf8, azc_close(moment.conn, 1000, "\xff"))
MAKE(ping_long, azc_ping(moment.conn, long_text, 126))
MAKE(ping_negative, azc_ping(moment.conn, long_text, (size_t)-5))
MAKE(join_empty, azc_join(moment.conn, ""))
MAKE(join_null, azc_join(moment.conn, NULL))
MAKE(join_long, azc_join(moment.conn, long_text + sizeof long_text - 257))
MAKE(leave_empty, azc_leave(moment.conn, ""))
MAKE(join_many, (azc_join(moment.conn, "a"), azc_join(moment.conn, "b"),
                 azc_join(moment.conn, "c")))
MAKE(room_none, azc_send_room(moment.conn, "abc", 3))
MAKE(cast_room, azc_broadcast(moment.channel, "", "abc", 3, NULL))
MAKE(cast_null, azc_broadcast(moment.channel, NULL, NULL, 3, NULL))
MAKE(cast_binary, azc_broadcast_binary(moment.channel, NULL, NULL, 3, NULL))
MAKE(all_null, azc_send_all(moment.conn, NULL, 3))
MAKE(others_null, azc_send_others(moment.conn, NULL, 3))
MAKE(user_null, azc_send_user(moment.channel, "ada", NULL, 3))
MAKE(deliver_null, azc_deliver(moment.channel, NULL, NULL, 3, 0))
MAKE(cast_negative, azc_broadcast(moment.channel, NULL, "abc", (size_t)-3, NULL))
MAKE(cast_utf8, azc_broadcast(moment.channel, NULL, "\xc3", 1, NULL))
MAKE(user_empty, azc_set_user(moment.conn, ""))
MAKE(user_twice, (azc_set_user(moment.conn, "ada"), azc_set_user(moment.conn, "ada")))
MAKE(user_joined, (azc_join(moment.conn, "a"), azc_set_user(moment.conn, "ada")))
MAKE(history_room, azc_set_history(moment.channel, "", 10, 1000))
MAKE(history_bytes, azc_set_history(moment.channel, "a", 10, 1 << 20))
MAKE(history_none, azc_set_history(moment.channel, "a", 10, 0))
MAKE_SEND(send_nothing, (void)m)
MAKE_SEND(send_both, m.text = "a"; m.binary = "b"; m.len = 1)
MAKE_SEND(send_targets, m.text = "a"; m.len = 1; m.room = "r"; m.user = "u")
MAKE_SEND(send_period, m.text = "a"; m.len = 1; m.key = 1; m.period_ms = -1)
MAKE_SEND(send_keyless, m.text = "a"; m.len = 1; m.period_ms = 100)
MAKE_SEND(send_user, m.text = "a"; m.len = 1; m.user = "")
MAKE_SEND(send_except, m.text = "a"; m.len = 1; m.to = moment.conn; m.except = moment.conn)
MAKE_SEND(send_batch, m.text = "1"; m.len = 1; m.batch = 1)
MAKE_SEND(send_batch_key, m.text = "1"; m.len = 1; m.batch = 1; m.period_ms = 9; m.key = 1)
MAKE_SEND(send_batch_text, m.text = "[1,x"; m.len = 4; m.batch = 1; m.period_ms = 9)
MAKE_SEND(send_key, m.text = "1"; m.len = 1; m.key = 1)
MAKE_SEND(send_rooms, m.text = "1"; m.len = 1; m.key = 1; m.period_ms = 9; m.room = "a")
static int send_elsewhere(void) {
    azc_message m = message_of(NULL, "a", 1);
    m.to = moment.conn;
    return azc_send((azc_channel *)moment.server->channel_routes->next->target == moment.channel
                    ? (azc_channel *)moment.server->channel_routes->target
                    : (azc_channel *)moment.server->channel_routes->next->target, &m);
}
MAKE(watch_fd, azc_watch(moment.server, -1, AZC_READ, on_fd, NULL))
MAKE(watch_events, azc_watch(moment.server, 0, 2, on_fd, NULL))
MAKE(watch_null, azc_watch(moment.server, 0, AZC_READ, NULL, NULL))
MAKE(after_null, azc_after(moment.server, 5, NULL, NULL) == 0 ? AZC_ERR_ARGUMENT : 0)
MAKE(after_negative, azc_after(moment.server, -5, on_task, NULL) == 0 ? AZC_ERR_ARGUMENT : 0)
MAKE(every_zero, azc_every(moment.server, 0, on_task, NULL) == 0 ? AZC_ERR_ARGUMENT : 0)
static int cancel_twice(void) {
    uint64_t id = azc_after(moment.server, 1000, on_task, NULL);
    CHECK_INT(azc_cancel(moment.server, id), AZC_OK);
    return azc_cancel(moment.server, id);
}
static int timers_many(void) {
    while (azc_after(moment.server, 1000, on_task, NULL) != 0) {}
    return AZC_ERR_MEMORY;
}
static int watch_many(void) {
    int error = AZC_OK, fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM, 0);
        if (error == AZC_OK) error = azc_watch(moment.server, fds[i], AZC_WRITE, on_fd, NULL);
    }
    for (int i = 0; i < 3; i++) azc_watch(moment.server, fds[i], 0, NULL, NULL), close(fds[i]);
    return error;
}

/* In callbacks. */
MAKE(run_inside, azc_run(moment.server))
MAKE(poll_inside, azc_poll(moment.server, 0))
MAKE(destroy_inside, azc_destroy(moment.server))
MAKE(reply_nothing, azc_reply(moment.conn, 200, "text/plain", "a", 1))
MAKE(field_nothing, azc_reply_header(moment.conn, "X-A", "b"))
MAKE(reply_twice, (azc_reply(moment.conn, 200, NULL, "a", 1),
                   azc_reply(moment.conn, 200, NULL, "a", 1)))
MAKE(reply_status, azc_reply(moment.conn, 99, "text/plain", "a", 1))
MAKE(reply_large, azc_reply(moment.conn, 200, "text/plain", long_text, 60000))
MAKE(reply_negative, azc_reply(moment.conn, 200, "text/plain", "a", (size_t)-1))
MAKE(reply_null, azc_reply(moment.conn, 200, "text/plain", NULL, 1))
MAKE(reply_type, azc_reply(moment.conn, 200, "text/plain\n", "a", 1))
MAKE(field_reserved, azc_reply_header(moment.conn, "content-length", "1"))
MAKE(field_name, azc_reply_header(moment.conn, "X A", "1"))
MAKE(field_value, azc_reply_header(moment.conn, "X-A", "1\r\nX-B: 2"))
MAKE(field_long, azc_reply_header(moment.conn, "X-A", long_text + sizeof long_text - 1030))
MAKE(field_null, azc_reply_header(moment.conn, "X-A", NULL))
MAKE(field_late, (azc_reply(moment.conn, 200, NULL, "a", 1),
                  azc_reply_header(moment.conn, "X", "")))
MAKE(text_early, azc_send_text(moment.conn, "abc", 3))
MAKE(all_early, azc_send_all(moment.conn, "abc", 3))
MAKE(others_early, azc_send_others(moment.conn, "abc", 3))
MAKE(join_early, azc_join(moment.conn, "a"))
MAKE(leave_early, azc_leave_all(moment.conn))
MAKE(close_early, azc_close(moment.conn, 1000, NULL))
MAKE(ping_early, azc_ping(moment.conn, NULL, 0))
MAKE(user_early, azc_set_user(moment.conn, "ada"))

#define BAD_PATTERN                                                                              \
    ": a segment is text, :name or, as the last, *name, in UTF-8; each name once"
#define FROM_CONNECT ": not for a request: allowed from on_connect on"
#define NO_REQUEST                                                                               \
    ": no request is at hand: allowed in page handlers, azc_use handlers and on_upgrade"
#define BAD_CLOSE                                                                                \
    " bytes: a code is 1000-1003, 1007-1014, 3000-4999, or 0 without a reason; a reason has at " \
    "most 123 bytes, RFC 6455 7.4"
#define BAD_TIMER                                                                                \
    " ms: ms must not be negative (azc_every: from 1 on), and fn not NULL"
#define INSIDE                                                                                   \
    "azc_poll or azc_run inside a callback: return from it instead, or use azc_after"
#define BAD_WATCH                                                                                \
    ": fd must not be negative, events must be of AZC_READ and AZC_WRITE, and fn not NULL "      \
    "unless events is 0"

enum { SILENT = 1, FIXED = 2 }; /* the log has no line; in fixed memory */
static const struct {
    int when;
    int (*make)(void);
    int code, flags;
    const char *text;
} mistakes[] = {
    {SETUP, path_bare, AZC_ERR_PATTERN, 0, "path \"chat\": must begin with /"},
    {SETUP, path_empty, AZC_ERR_PATTERN, 0, "path \"\": must begin with /"},
    {SETUP, path_newline, AZC_ERR_PATTERN, 0, "path \"a?b\": must begin with /"},
    {SETUP, path_null, AZC_ERR_ARGUMENT, 0, "azc_add_channel or its path: an argument is NULL"},
    {SETUP, path_no_name, AZC_ERR_PATTERN, 0, "path \"/rooms/:\"" BAD_PATTERN},
    {SETUP, path_rest, AZC_ERR_PATTERN, 0, "path \"/*rest/x\"" BAD_PATTERN},
    {SETUP, path_twice, AZC_ERR_PATTERN, 0, "path \"/:a/:a\"" BAD_PATTERN},
    {SETUP, path_utf8, AZC_ERR_PATTERN, 0, "path \"/\xff\"" BAD_PATTERN},
    {SETUP, path_again, AZC_ERR_CONFLICT, 0, "path \"/t\": another has the same pattern"},
    {SETUP, path_same, AZC_ERR_CONFLICT, 0, "path \"/x\": another has the same pattern"},
    {SETUP, protocol_space, AZC_ERR_ARGUMENT, 0, "subprotocols \"chat v2\": must be tokens of at "
     "most 100 bytes with commas between them, RFC 6455 11.3.4"},
    {SETUP, full_seven, AZC_ERR_ARGUMENT, 0,
     "when_full 7: must be AZC_FULL_CLOSE or AZC_FULL_DROP"},
    {SETUP, full_negative, AZC_ERR_ARGUMENT, 0,
     "when_full -1: must be AZC_FULL_CLOSE or AZC_FULL_DROP"},
    {SETUP, data_size, AZC_ERR_ARGUMENT, 0, "data_size 1073741825: at most 1 GiB"},
    {SETUP, desc_null, AZC_ERR_ARGUMENT, 0, "azc_add_channel or its path: an argument is NULL"},
    {SETUP, use_null, AZC_ERR_ARGUMENT, 0, "azc_use: an argument is NULL"},
    {SETUP, page_bare, AZC_ERR_PATTERN, 0, "path \"index.html\": must begin with /"},
    {SETUP, page_null, AZC_ERR_ARGUMENT, 0, "azc_add_page: an argument is NULL"},
    {SETUP, page_no_bytes, AZC_ERR_ARGUMENT, 0, "azc_add_page: an argument is NULL"},
    {SETUP, page_type, AZC_ERR_ARGUMENT, 0,
     "azc_add_page: type must have at most 200 bytes and no control character"},
    {SETUP, page_again, AZC_ERR_CONFLICT, 0, "path \"/p\": another has the same pattern"},
    {SETUP, handler_null, AZC_ERR_ARGUMENT, 0, "azc_add_handler: an argument is NULL"},
    {FRESH, log_level, AZC_ERR_ARGUMENT, 0, "azc_log_to: file must not be NULL, and level 9 must "
     "be from AZC_LOG_ERROR to AZC_LOG_DEBUG"},
    {FRESH, log_file, AZC_ERR_ARGUMENT, 0, "azc_log_to: file must not be NULL, and level 1 must "
     "be from AZC_LOG_ERROR to AZC_LOG_DEBUG"},
    {FRESH, poll_early, AZC_ERR_STATE, 0, "azc_poll before azc_listen: call that first"},
    {READY, use_late, AZC_ERR_STATE, 0, "azc_use: not after azc_listen"},
    {READY, page_late, AZC_ERR_STATE, 0, "azc_add_page: not after azc_listen"},
    {READY, handler_late, AZC_ERR_STATE, 0, "azc_add_handler: not after azc_listen"},
    {READY, channel_late, AZC_ERR_STATE, 0, "azc_add_channel: not after azc_listen"},
    {READY, proxies_late, AZC_ERR_STATE, 0, "azc_trust_proxies: not after azc_listen"},
    {READY, part_late, AZC_ERR_STATE, 0, "azc_on_part: not after azc_listen"},
    {READY, presence_late, AZC_ERR_STATE, 0, "azc_on_presence: not after azc_listen"},
    {READY, publish_late, AZC_ERR_STATE, 0, "azc_on_publish: not after azc_listen"},
    {READY, room_late, AZC_ERR_STATE, 0, "azc_on_room: not after azc_listen"},
    {READY, text_null, AZC_ERR_ARGUMENT, 0, "azc_send_text: an argument is NULL"},
    {READY, text_negative, AZC_ERR_FULL, 0,
     "azc_send_text: an impossible len, perhaps a negative int"},
    {READY, text_utf8, AZC_ERR_UTF8, SILENT,
     "azc_send_text: the text is not UTF-8; send bytes as binary"},
    {READY, binary_null, AZC_ERR_ARGUMENT, 0, "azc_send_binary: an argument is NULL"},
    {READY, text_closed, AZC_ERR_CLOSED, SILENT, "azc_send_text: the connection is closed"},
    {READY, close_twice, AZC_ERR_CLOSED, SILENT, "azc_close: the connection is closed"},
    {READY, join_closed, AZC_ERR_CLOSED, SILENT, "azc_join: the connection is closed"},
    {READY, user_closed, AZC_ERR_CLOSED, SILENT, "azc_set_user: the connection is closed"},
    {READY, json_open, AZC_ERR_STATE, 0, "azc_send_json: the JSON is not whole: a name or an "
     "azc_put_end is missing or too many"},
    {READY, json_small, AZC_ERR_FULL, 0,
     "azc_broadcast_json: the writer's buffer of 8 bytes is too small"},
    {READY, close_code, AZC_ERR_ARGUMENT, 0, "azc_close: code 999 with a reason of 0" BAD_CLOSE},
    {READY, close_reason, AZC_ERR_ARGUMENT, 0,
     "azc_close: code 1000 with a reason of 124" BAD_CLOSE},
    {READY, close_none, AZC_ERR_ARGUMENT, 0, "azc_close: code 0 with a reason of 8" BAD_CLOSE},
    {READY, close_utf8, AZC_ERR_UTF8, SILENT,
     "azc_close: the text is not UTF-8; send bytes as binary"},
    {READY, ping_long, AZC_ERR_ARGUMENT, 0, "azc_ping: len 126: at most 125 bytes, RFC 6455 5.5"},
    {READY, ping_negative, AZC_ERR_FULL, 0,
     "azc_ping: an impossible len, perhaps a negative int"},
    {READY, join_empty, AZC_ERR_ARGUMENT, 0, "azc_join: room must have 1 to 255 bytes"},
    {READY, join_null, AZC_ERR_ARGUMENT, 0, "azc_join: room must have 1 to 255 bytes"},
    {READY, join_long, AZC_ERR_ARGUMENT, 0, "azc_join: room must have 1 to 255 bytes"},
    {READY, leave_empty, AZC_ERR_ARGUMENT, 0, "azc_leave: room must have 1 to 255 bytes"},
    {READY, join_many, AZC_ERR_FULL, SILENT,
     "azc_join: max_rooms 2 or max_memberships 5 is reached"},
    {READY, room_none, AZC_ERR_STATE, 0,
     "azc_send_room: the connection is in no room; azc_join puts it into one"},
    {READY, cast_room, AZC_ERR_ARGUMENT, 0,
     "azc_broadcast: room must be NULL (the channel), or have 1 to 255 bytes"},
    {READY, cast_null, AZC_ERR_ARGUMENT, 0, "azc_broadcast: an argument is NULL"},
    {READY, cast_binary, AZC_ERR_ARGUMENT, 0, "azc_broadcast_binary: an argument is NULL"},
    {READY, all_null, AZC_ERR_ARGUMENT, 0, "azc_send_all: an argument is NULL"},
    {READY, others_null, AZC_ERR_ARGUMENT, 0, "azc_send_others: an argument is NULL"},
    {READY, user_null, AZC_ERR_ARGUMENT, 0, "azc_send_user: an argument is NULL"},
    {READY, deliver_null, AZC_ERR_ARGUMENT, 0, "azc_deliver: an argument is NULL"},
    {READY, cast_negative, AZC_ERR_FULL, 0,
     "azc_broadcast: an impossible len, perhaps a negative int"},
    {READY, cast_utf8, AZC_ERR_UTF8, SILENT,
     "azc_broadcast: the text is not UTF-8; send bytes as binary"},
    {READY, user_empty, AZC_ERR_ARGUMENT, 0, "azc_set_user: user must have 1 to 254 bytes"},
    {READY, user_twice, AZC_ERR_STATE, 0, "azc_set_user: it has a user or is in a room already: "
     "set the user before azc_join"},
    {READY, user_joined, AZC_ERR_STATE, 0, "azc_set_user: it has a user or is in a room already: "
     "set the user before azc_join"},
    {READY, history_room, AZC_ERR_ARGUMENT, 0, "azc_set_history: room must have 1 to 255 bytes"},
    {READY, history_bytes, AZC_ERR_ARGUMENT, 0,
     "azc_set_history: bytes 1048576: must be from 2 to 16384, half of max_backlog"},
    {READY, history_none, AZC_ERR_ARGUMENT, 0,
     "azc_set_history: bytes 0: must be from 2 to 16384, half of max_backlog"},
    {READY, send_nothing, AZC_ERR_ARGUMENT, 0,
     "azc_send: set exactly one of text, binary and json"},
    {READY, send_both, AZC_ERR_ARGUMENT, 0,
     "azc_send: set exactly one of text, binary and json"},
    {READY, send_targets, AZC_ERR_ARGUMENT, 0, "azc_send: set at most one of room, user and to"},
    {READY, send_period, AZC_ERR_ARGUMENT, 0, "azc_send: period_ms must not be negative"},
    {READY, send_keyless, AZC_ERR_ARGUMENT, 0, "azc_send: period_ms needs key or batch"},
    {READY, send_user, AZC_ERR_ARGUMENT, 0, "azc_send: user must have 1 to 254 bytes"},
    {READY, send_except, AZC_ERR_ARGUMENT, 0, "azc_send: to excludes except and period_ms"},
    {READY, send_batch, AZC_ERR_ARGUMENT, 0,
     "azc_send: batch needs period_ms and JSON, and excludes binary, except and key"},
    {READY, send_batch_key, AZC_ERR_ARGUMENT, 0,
     "azc_send: batch needs period_ms and JSON, and excludes binary, except and key"},
    {READY, send_batch_text, AZC_ERR_JSON, 0, "azc_send: a batch takes JSON: bad at byte 3"},
    {READY, send_key, AZC_ERR_STATE, FIXED,
     "azc_send with key or period_ms: not with azc_create_in: it allocates"},
    {READY, send_elsewhere, AZC_ERR_ARGUMENT, 0,
     "azc_send: to is a connection of another channel"},
    {READY, watch_fd, AZC_ERR_ARGUMENT, 0, "azc_watch: fd -1, events 1" BAD_WATCH},
    {READY, watch_events, AZC_ERR_ARGUMENT, 0, "azc_watch: fd 0, events 2" BAD_WATCH},
    {READY, watch_null, AZC_ERR_ARGUMENT, 0, "azc_watch: fd 0, events 1" BAD_WATCH},
    {READY, after_null, AZC_ERR_ARGUMENT, 0, "a timer of 5" BAD_TIMER},
    {READY, after_negative, AZC_ERR_ARGUMENT, 0, "a timer of -5" BAD_TIMER},
    {READY, every_zero, AZC_ERR_ARGUMENT, 0, "a timer of 0" BAD_TIMER},
    {READY, timers_many, AZC_ERR_MEMORY, FIXED,
     "a timer: max_timers 2 is reached, or memory is out"},
    {READY, watch_many, AZC_ERR_FULL, FIXED, "azc_watch: max_watched 2 is reached"},
    {READY, cancel_twice, AZC_ERR_ARGUMENT, SILENT, "azc_cancel: it has run or was cancelled"},
    {IN_MESSAGE, run_inside, AZC_ERR_STATE, 0, INSIDE},
    {IN_MESSAGE, poll_inside, AZC_ERR_STATE, 0, INSIDE},
    {IN_MESSAGE, destroy_inside, AZC_ERR_STATE, 0, "azc_destroy inside a callback: call azc_stop"},
    {IN_MESSAGE, reply_nothing, AZC_ERR_STATE, 0, "azc_reply" NO_REQUEST},
    {IN_MESSAGE, field_nothing, AZC_ERR_STATE, 0, "azc_reply_header" NO_REQUEST},
    {IN_HANDLER, reply_twice, AZC_ERR_STATE, 0, "azc_reply: the request is answered"},
    {IN_HANDLER, reply_status, AZC_ERR_ARGUMENT, 0,
     "azc_reply: status 99: must be from 200 to 599"},
    {IN_HANDLER, reply_large, AZC_ERR_FULL, 0, "azc_reply: len 60000: max_backlog is 32768"},
    {IN_HANDLER, reply_negative, AZC_ERR_FULL, 0,
     "azc_reply: an impossible len, perhaps a negative int"},
    {IN_HANDLER, reply_null, AZC_ERR_ARGUMENT, 0, "azc_reply: an argument is NULL"},
    {IN_HANDLER, reply_type, AZC_ERR_ARGUMENT, 0,
     "azc_reply: type must have at most 200 bytes and no control character"},
    {IN_HANDLER, field_reserved, AZC_ERR_ARGUMENT, 0,
     "azc_reply_header: content-length is set by the server"},
    {IN_HANDLER, field_name, AZC_ERR_ARGUMENT, 0,
     "azc_reply_header: name must be a token, and value must have no control "
     "character, RFC 9110 5"},
    {IN_HANDLER, field_value, AZC_ERR_ARGUMENT, 0,
     "azc_reply_header: name must be a token, and value must have no control "
     "character, RFC 9110 5"},
    {IN_HANDLER, field_long, AZC_ERR_FULL, 0,
     "azc_reply_header: X-A: all fields together have at most 1024 bytes"},
    {IN_HANDLER, field_null, AZC_ERR_ARGUMENT, 0, "azc_reply_header: an argument is NULL"},
    {IN_HANDLER, field_late, AZC_ERR_STATE, 0, "azc_reply_header: the request is answered"},
    {IN_HANDLER, user_early, AZC_ERR_STATE, 0, "azc_set_user: allowed from on_upgrade on"},
    {IN_HANDLER, text_early, AZC_ERR_STATE, 0, "azc_send_text" FROM_CONNECT},
    {IN_UPGRADE, text_early, AZC_ERR_STATE, 0, "azc_send_text" FROM_CONNECT},
    {IN_HANDLER, all_early, AZC_ERR_STATE, 0, "azc_send_all: allowed from on_upgrade on"},
    {IN_HANDLER, others_early, AZC_ERR_STATE, 0, "azc_send_others: allowed from on_upgrade on"},
    {IN_UPGRADE, join_early, AZC_ERR_STATE, 0, "azc_join" FROM_CONNECT},
    {IN_UPGRADE, leave_early, AZC_ERR_STATE, 0, "azc_leave_all" FROM_CONNECT},
    {IN_UPGRADE, close_early, AZC_ERR_STATE, 0, "azc_close" FROM_CONNECT},
    {IN_UPGRADE, ping_early, AZC_ERR_STATE, 0, "azc_ping" FROM_CONNECT},
    {IN_UPGRADE, join_long, AZC_ERR_ARGUMENT, 0, "azc_join: room must have 1 to 255 bytes"},
    {IN_UPGRADE, room_none, AZC_ERR_STATE, 0,
     "azc_send_room: the connection is in no room; azc_join puts it into one"},
};
enum { MISTAKES = sizeof mistakes / sizeof *mistakes };

/* A server that is about to see the mistake: a page, a handler and two channels. */
static azc_server *prepare(int when, int fixed) {
    azc_config config = limits(1);
    if (when == READY) config.max_rooms = 2, config.max_memberships = 5;
    config.max_timers = config.max_watched = 2;
    config.log = mistake_line;
    fix(&config, fixed);
    azc_server *server = moment.server = create(&config);
    azc_channel_desc d = recorder("/t");
    if (when == IN_MESSAGE) d.on_message = in_message;
    if (when == IN_UPGRADE) d.on_upgrade = in_upgrade;
    CHECK((moment.channel = azc_add_channel(server, &d)) != NULL);
    d = recorder("/other");
    CHECK(azc_add_channel(server, &d) != NULL);
    CHECK_INT(azc_add_handler(server, "/do", in_handler, server), AZC_OK);
    CHECK_INT(azc_add_page(server, "/p", NULL, "", 0), AZC_OK);
    return server;
}

/* Make one mistake at its moment. */
static void make_one(int when, int (*make)(void), int fixed) {
    azc_server *server = prepare(when, fixed);
    moment.make = make, moment.made = 0, moment.conn = NULL;
    if (when <= FRESH) {
        make_mistake(NULL);
        CHECK_INT(azc_listen(server), when == SETUP ? moment.code : AZC_OK);
        if (when == SETUP) CHECK_STR(azc_error(server), moment.text);
        return;
    }
    listening(server);
    if (when == IN_HANDLER) {
        CHECK(ask(server, "GET /do HTTP/1.1\r\nHost: a\r\n\r\n") >= 200);
        return;
    }
    client *c = join_channel(server, "/t");
    if (when == IN_MESSAGE) {
        client_text(c, "go"), settle(server);
    } else if (when == READY) {
        make_mistake(member_of(moment.channel));
    }
    settle(server);
}

static void calls(void) {
    TEST("each of a hundred mistakes is named: call, value and what is allowed") {
        CHECK(MISTAKES >= 100);
        for (int i = 0; i < MISTAKES; i++) {
            int bad = test.bad;
            make_one(mistakes[i].when, mistakes[i].make, mistakes[i].flags & FIXED);
            char line[1024] = "";
            if (!(mistakes[i].flags & SILENT))
                snprintf(line, sizeof line, "%d %s\n", AZC_LOG_ERROR, mistakes[i].text);
            CHECK_INT(moment.made, 1);
            CHECK_INT(moment.code, mistakes[i].code);
            CHECK_STR(moment.text, mistakes[i].text);
            const char *lines = tape_text(&moment.lines);
            if (mistakes[i].make == timers_many || mistakes[i].make == watch_many)
                CHECK_INT(count_of(lines, "\n"), 1);
            CHECK_STR(lines, line);
            finish(moment.server);
            if (test.bad > bad) printf("    in row %d\n", i);
        }
    }
    TEST("a bad list of proxies is named from the bad entry on") {
        static const struct {
            const char *list, *text;
        } lists[] = {
            {"localhost", "localhost"}, {"10.0.0.0/33", "10.0.0.0/33"}, {NULL, "NULL"},
        };
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
            char start[128];
            azc_server *server = prepare(SETUP, 0);
            CHECK_INT(azc_trust_proxies(server, lists[i].list), AZC_ERR_ARGUMENT);
            snprintf(start, sizeof start, "azc_trust_proxies: \"%s\": must be ", lists[i].text);
            if (!CHECK(strncmp(azc_error(server), start, strlen(start)) == 0))
                printf("    %s\n", azc_error(server));
            CHECK(strstr(azc_error(server), "addresses or networks like 10.0.0.0/8") != NULL);
            CHECK_INT(azc_listen(server), AZC_ERR_ARGUMENT);
            finish(server);
        }
    }
    TEST("a data_size over max_data is an error of azc_listen, which names both limits") {
        azc_server *server = prepare(SETUP, 1);
        azc_channel_desc d = recorder("/big");
        d.data_size = 4096;
        CHECK(azc_add_channel(server, &d) != NULL);
        tape_clear(&log_lines);
        CHECK_INT(azc_listen(server), AZC_ERR_MEMORY);
        CHECK_STR(azc_error(server), "azc_create_in: a data_size is over max_data 64, or channels, "
                  "pages and handlers need more than max_setup 4096");
        expect_lines(azc_error(server));
        finish(server);
    }
    TEST("a history in fixed memory is refused with the reason") {
        azc_server *server = prepare(SETUP, 1);
        tape_clear(&log_lines);
        CHECK_INT(azc_set_history(moment.channel, "a", 10, 1000), AZC_ERR_STATE);
        CHECK_STR(azc_error(server), "azc_set_history: not with azc_create_in: it allocates");
        expect_lines(azc_error(server));
        CHECK_INT(azc_listen(server), AZC_OK);
        finish(server);
    }
    TEST("azc_send with a period names max_rooms when there is no room for it") {
        azc_config config = mistaken();
        config.max_rooms = 1;
        azc_server *server = moment.server = serve(&config, recorder("/t"));
        moment.channel = served;
        tape_clear(&log_lines);
        CHECK_INT(send_rooms(), AZC_ERR_FULL);
        CHECK_STR(azc_error(server), "azc_send: max_rooms 1 is reached: a period counts as one");
        expect_lines(azc_error(server));
        finish(server);
    }
    TEST("a send beyond max_backlog names it, and the log has the connection") {
        azc_config config = limits(1);
        config.log = mistake_line;
        azc_server *server = moment.server = serve(&config, recorder("/t"));
        join_channel(server, "/t");
        moment.conn = member_of(served);
        tape_clear(&log_lines);
        CHECK_INT(text_too_much(), AZC_ERR_FULL);
        CHECK_STR(azc_error(server),
                  "max_backlog: no room for the message; the peer reads too slowly");
        CHECK_STR(tape_text(&log_lines), "2 127.0.0.1 /t: closed with 1013: its backlog is 0 "
                  "bytes, and max_backlog is 32768: it reads too slowly; see when_full\n");
        settle(server);
        finish(server);
    }
}

/* ---- Several mistakes, and none -------------------------------------------------------------- */

static void rules(void) {
    TEST("azc_error keeps the first error until azc_listen, and the log has all") {
        azc_server *server = prepare(SETUP, 0);
        moment.server = server;
        tape_clear(&log_lines);
        CHECK_INT(page_bare(), AZC_ERR_PATTERN);
        CHECK_INT(use_null(), AZC_ERR_ARGUMENT);
        CHECK_INT(log_level(), AZC_ERR_ARGUMENT);
        CHECK_STR(azc_error(server), "path \"index.html\": must begin with /");
        CHECK_STR(tape_text(&log_lines), "1 path \"index.html\": must begin with /\n"
                  "1 azc_use: an argument is NULL\n"
                  "1 azc_log_to: file must not be NULL, and level 9 must be from AZC_LOG_ERROR to "
                  "AZC_LOG_DEBUG\n");
        CHECK_INT(azc_listen(server), AZC_ERR_PATTERN);
        CHECK_INT(azc_run(server), AZC_ERR_PATTERN);
        CHECK_STR(azc_error(server), "path \"index.html\": must begin with /");
        finish(server);
    }
    TEST("after azc_listen azc_error has the last error") {
        azc_server *server = prepare(READY, 0);
        listening(server);
        CHECK_INT(use_late(), AZC_ERR_STATE);
        CHECK_INT(room_late(), AZC_ERR_STATE);
        CHECK_STR(azc_error(server), "azc_on_room: not after azc_listen");
        finish(server);
    }
    TEST("a long path does not hide what is allowed, and a line fits") {
        azc_server *server = prepare(SETUP, 0);
        azc_channel_desc d = recorder(long_text + sizeof long_text - 300);
        CHECK(azc_add_channel(server, &d) == NULL);
        const char *text = azc_error(server);
        CHECK(strstr(text, "xxx\": must begin with /") != NULL);
        CHECK(strlen(text) < 200);
        finish(server);
    }
    TEST("a config without a log is silent: azc_error has the words, and the server works") {
        azc_config config = quick();
        config.log = NULL;
        azc_server *server = moment.server = serve(&config, recorder("/t"));
        tape_clear(&log_lines);
        client *c = join_channel(server, "/t");
        CHECK_INT(use_late(), AZC_ERR_STATE);
        CHECK_STR(azc_error(server), "azc_use: not after azc_listen");
        CHECK_INT(ask(server, "GET /nope HTTP/1.1\r\nHost: a\r\n\r\n"), 404);
        client_send(c, "\x81\x02hi", 4);
        EXPECT_CLOSE(c, 1002, "an unmasked frame, RFC 6455 5.1");
        CHECK_STR(tape_text(&log_lines), "");
        finish(server);
    }
    TEST("every function accepts NULL, and azc_error of NULL has words") {
        CHECK_INT(azc_listen(NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_poll(NULL, 0), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_use(NULL, NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK(azc_add_channel(NULL, NULL) == NULL);
        CHECK_INT(azc_send_text(NULL, "a", 1), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_send_text(NULL, "a", (size_t)-1), AZC_ERR_FULL);
        CHECK_INT(azc_send(NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_join(NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_reply(NULL, 0, NULL, NULL, 0), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_set_user(NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_watch(NULL, -1, 9, NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_trust_proxies(NULL, NULL), AZC_ERR_ARGUMENT);
        CHECK(azc_after(NULL, -1, NULL, NULL) == 0);
        CHECK_STR(azc_error(NULL), azc_strerror(AZC_ERR_MEMORY));
        FILE *file = tmpfile();
        char text[64] = "";
        CHECK_INT(azc_log_to(NULL, file, 0), AZC_ERR_ARGUMENT);
        rewind(file);
        CHECK(fgets(text, sizeof text, file) != NULL);
        CHECK_STR(text, "azc_create: out of memory\n");
        fclose(file);
    }
}

/* ---- Calls from another thread, and asserts of builds without NDEBUG ------------------------- */

#if defined(__ATOMIC_ACQUIRE) && !AZCHAN_SMALL

/* Memory that is never used again, so that a freed connection can be recognised. */
static void *keeping_alloc(void *user, void *ptr, size_t old_size, size_t new_size) {
    static long double units[1 << 16];
    unsigned char *block = (unsigned char *)units;
    static size_t at;
    (void)user;
    if (new_size == 0 || at + new_size + 16 > sizeof units) return NULL;
    void *fresh = block + at;
    at += (new_size + 15) / 16 * 16;
    if (ptr != NULL) memcpy(fresh, ptr, old_size < new_size ? old_size : new_size);
    return fresh;
}

static void pipe_line(void *user, int level, const char *line) {
    (void)level;
    dprintf(*(int *)user, "%s\n", line);
}

static void *from_thread(void *arg) {
    poll(NULL, 0, 100); /* meanwhile the loop waits */
    CHECK_INT(azc_send_text((azc_conn *)arg, "hi", 2), AZC_ERR_STATE);
    return NULL;
}
static void send_from_thread(azc_server *server, client *c, azc_conn *conn) {
    pthread_t thread;
    (void)c;
    settle(server);
    if (pthread_create(&thread, NULL, from_thread, conn) != 0) return;
    azc_poll(server, 2000);
    pthread_join(thread, NULL);
}
static void *from_thread_all(void *arg) {
    poll(NULL, 0, 100);
    CHECK_INT(azc_broadcast((azc_channel *)arg, NULL, "hi", 2, NULL), AZC_ERR_STATE);
    return NULL;
}
static void broadcast_from_thread(azc_server *server, client *c, azc_conn *conn) {
    pthread_t thread;
    (void)c;
    settle(server);
    if (pthread_create(&thread, NULL, from_thread_all, azc_channel_of(conn)) != 0) return;
    azc_poll(server, 2000);
    pthread_join(thread, NULL);
}
#ifndef NDEBUG
static void send_after_close(azc_server *server, client *c, azc_conn *conn) {
    client_close(c);
    for (int i = 0; i < 5; i++) settle(server);
    azc_send_text(conn, "hi", 2);
}
static void join_after_close(azc_server *server, client *c, azc_conn *conn) {
    client_close(c);
    for (int i = 0; i < 5; i++) settle(server);
    azc_join(conn, "a");
}
#endif
static void send_properly(azc_server *server, client *c, azc_conn *conn) {
    CHECK_INT(azc_send_text(conn, "hi", 2), AZC_OK);
    EXPECT_TEXT(c, "hi");
    settle(server);
}

/* Do this in a child. Returns the signal that ended it, 0 for none. said: its log. */
static int child_signal(void (*act)(azc_server *, client *, azc_conn *), char said[512]) {
    int ends[2], status = 0;
    if (pipe(ends) != 0) abort();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, 2);
        azc_config config = quick();
        config.alloc = keeping_alloc;
        config.read_buffer = 4096, config.max_connections = 8;
        config.log = pipe_line, config.log_userdata = &ends[1];
        azc_channel_desc d = recorder("/t");
        azc_server *server = azc_create(&config);
        served = azc_add_channel(server, &d);
        if (azc_listen(server) != AZC_OK) _exit(3);
        client *c = join_channel(server, "/t");
        act(server, c, member_of(served));
        client_close(c);
        azc_destroy(server);
        exit(test.bad ? 2 : 0);
    }
    close(ends[1]);
    size_t len = 0;
    for (ssize_t n; (n = read(ends[0], said + len, 511 - len)) > 0;) len += (size_t)n;
    said[len] = 0;
    close(ends[0]);
    if (!CHECK(pid > 0 && waitpid(pid, &status, 0) == pid)) return -1;
    if (WIFEXITED(status)) CHECK_INT(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void asserts(void) {
#define ANOTHER                                                                                  \
    " from another thread, or from a signal handler: only azc_post and azc_stop are allowed there\n"
    char said[512];
#ifdef NDEBUG
    int end = 0;
#else
    int end = SIGABRT;
#endif
    TEST("a send or broadcast from another thread is logged and refused, or aborts") {
        CHECK_INT(child_signal(send_from_thread, said), end);
        CHECK_STR(said, "azc_send_text" ANOTHER);
        CHECK_INT(child_signal(broadcast_from_thread, said), end);
        CHECK_STR(said, "azc_broadcast" ANOTHER);
    }
#ifndef NDEBUG
    TEST("a connection that is used after it was freed aborts, as far as its memory shows it") {
        CHECK_INT(child_signal(send_after_close, said), SIGABRT);
        CHECK_INT(child_signal(join_after_close, said), SIGABRT);
    }
#endif
    TEST("a correct program does not abort") {
        CHECK_INT(child_signal(send_properly, said), 0);
        CHECK_STR(said, "");
    }
}
#else
static void asserts(void) {}
#endif

int main(int argc, char **argv) {
    memset(long_text, 'x', sizeof long_text - 1);
    test_start(argc, argv);
    configs();
    calls();
    rules();
    asserts();
    tape_clear(&events), tape_clear(&log_lines), tape_clear(&moment.lines);
    return test_end();
}
