/* presence.c: who is in which room. Someone with two tabs in a room is there once, and has left
   when the last one did.

       cc examples/presence.c -o presence && ./presence [port]

   then open http://127.0.0.1:4000/ in two tabs, and in another browser. The page is
   presence_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "presence_page.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NAME = 4 * 24 }; /* bytes of 24 characters */

static const char *const rooms[] = {"kitchen", "studio", "library", "garden"};
enum { ROOMS = sizeof rooms / sizeof *rooms };

typedef struct tab {
    const char *room; /* one of rooms */
} tab;

/* ==== What pages are told ===================================================================== */

/* To one, who has just come: user is in the room. With conn NULL, as news to all: and is no longer,
   where here is 0. */
static int tell_presence(azc_channel *channel, azc_conn *conn, const char *room, const char *user,
                         int here) {
    char buf[6 * MOST_NAME + 128]; /* each byte of a name may become \u00XX */
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "presence");
    azc_put_string(&w, "room", room);
    azc_put_string(&w, "user", user);
    azc_put_bool(&w, "here", here);
    azc_put_bool(&w, "news", conn == NULL);
    return conn ? azc_send_json(conn, &w) : azc_broadcast_json(channel, NULL, &w, NULL);
}

static int tell_rooms(azc_conn *conn) {
    char buf[256];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "rooms");
    azc_put_string(&w, "room", ((tab *)azc_data(conn))->room);
    azc_put_array(&w, "rooms");
    for (int i = 0; i < ROOMS; i++) azc_put_string(&w, NULL, rooms[i]);
    azc_put_end(&w);
    return azc_send_json(conn, &w);
}

/* ==== The channel ============================================================================= */

/* Who a peer is, is said before the 101. A real program takes it from a session's cookie or a
   token; here one is whoever one says. */
static int presence_upgrade(azc_conn *conn) {
    const char *name = azc_query(conn, "name");
    if (!name || strlen(name) > MOST_NAME) return 400;
    return azc_set_user(conn, name) == AZC_OK ? AZC_OK : 400; /* "" is nobody's name */
}

/* First who was here, then the newcomer's own coming, which on_presence tells to all. */
static int presence_connect(azc_conn *conn) {
    azc_channel *channel = azc_channel_of(conn);
    tab *me = azc_data(conn);
    const char *wanted = azc_query(conn, "room"); /* where the page was before */
    me->room = rooms[0];
    for (int i = 0; wanted && i < ROOMS; i++) {
        if (strcmp(rooms[i], wanted) == 0) me->room = rooms[i];
    }
    int error = tell_rooms(conn);
    for (int i = 0; i < ROOMS; i++) {
        for (azc_cursor c = azc_users(channel, rooms[i]); error >= 0 && azc_cursor_next(&c);) {
            error = tell_presence(channel, conn, rooms[i], c.user, 1);
        }
    }
    return error < 0 ? error : azc_join(conn, me->room);
}

/* The first tab of user came to the room (here 1), the last one left it (here 0). */
static void presence_change(azc_channel *channel, const char *room, const char *user, int here) {
    tell_presence(channel, NULL, room, user, here);
}

static int enter(azc_conn *conn, const char *room) {
    tab *me = azc_data(conn);
    azc_leave(conn, me->room);
    me->room = room;
    char buf[64];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "entered");
    azc_put_string(&w, "room", room);
    int error = azc_send_json(conn, &w);
    return error < 0 ? error : azc_join(conn, room);
}

/* To every tab of a user, wherever they are. */
static int wave(azc_conn *conn, azc_json to) {
    char user[MOST_NAME + 1], buf[6 * MOST_NAME + 64];
    if (azc_json_string(to, user, sizeof user) < 0) return AZC_ERR_APP;
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "wave");
    azc_put_string(&w, "from", azc_user(conn));
    int error = azc_put_finish(&w);
    return error < 0 ? error : azc_send_user(azc_channel_of(conn), user, w.text, w.len);
}

/* What a page sends: {"enter":"garden"}, {"wave":"Ada"}. */
static int presence_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    if (azc_json_read(&in, text, len) != AZC_OK) return AZC_ERR_JSON;
    azc_json to = azc_json_get(in, "wave");
    if (to.type != AZC_JSON_NONE) return wave(conn, to);
    for (int i = 0; i < ROOMS; i++) {
        if (azc_json_equals(azc_json_get(in, "enter"), rooms[i])) return enter(conn, rooms[i]);
    }
    return AZC_ERR_APP;
}

/* ==== The program ============================================================================= */

static azc_server *server; /* global for the signal handler only */

static void stop(int signum) {
    (void)signum;
    azc_stop(server);
}

static void print_log(void *file, const char *message) {
    fprintf(file, "presence: %s\n", message);
}

static void add_channel(void) {
    azc_channel_desc presence = {0};
    presence.path = "/presence";
    presence.data_size = sizeof(tab);
    presence.on_upgrade = presence_upgrade;
    presence.on_connect = presence_connect;
    presence.on_message = presence_message;
    azc_on_presence(azc_add_channel(server, &presence), presence_change);
}

/* The pieces of presence_page.h as one page. */
static void add_page(void) {
    static char page[16 * 1024];
    size_t len = 0;
    for (size_t i = 0; i < sizeof presence_page / sizeof *presence_page; i++) {
        size_t n = strlen(presence_page[i]);
        if (n > sizeof page - len) abort(); /* the page grew: make it larger */
        memcpy(page + len, presence_page[i], n);
        len += n;
    }
    azc_add_page(server, "/", "text/html; charset=utf-8", page, len);
}

int main(int argc, char **argv) {
    char *end = NULL;
    long port = argc > 1 ? strtol(argv[1], &end, 10) : 4000;
    if (argc > 2 || (end && (end == argv[1] || *end)) || port < 0 || port > 65535) {
        fprintf(stderr, "usage: presence [port], 0 (any free one) to 65535; 4000 when left out\n");
        return 2;
    }
    azc_config config = {0};
    config.port = (int)port;
    config.log = print_log;
    config.log_userdata = stderr;

    server = azc_create(&config);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    add_channel();
    add_page();
    if (azc_listen(server) == AZC_OK) printf("http://127.0.0.1:%d/\n", azc_port(server));
    fflush(stdout); /* it may be a pipe */
    int error = azc_run(server);
    if (error != AZC_OK) fprintf(stderr, "presence: %s\n", azc_error(server));
    azc_destroy(server);
    return error == AZC_OK ? 0 : 1;
}
