/* presence.c: which users are in which room. A user with two tabs in a room is there once, and
   leaves with the last tab.

       cc -I. examples/presence.c -o presence && ./presence [[host:]port]

   Then open http://127.0.0.1:4000/ in two tabs, and in another browser. The page is
   pages/presence.html, which `make pages` turns into presence_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "presence_page.h"
#include <stdio.h>
#include <string.h>

enum { MAX_NAME = 4 * 24 }; /* the bytes of 24 characters */

static const char *const rooms[] = {"kitchen", "studio", "library", "garden"};
enum { ROOMS = sizeof rooms / sizeof *rooms };

typedef struct tab {
    const char *room; /* one of the array */
} tab;

/* ==== Messages to pages ======================================================================= */

/* Send whether a user is in a room: to a new connection, or with conn NULL as news to everyone. */
static int send_presence(azc_channel *channel, azc_conn *conn, const char *room, const char *user,
                         int present) {
    char buf[6 * MAX_NAME + 128]; /* each byte of a name may become \u00XX */
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "presence");
    azc_put_string(&w, "room", room);
    azc_put_string(&w, "user", user);
    azc_put_bool(&w, "here", present);
    azc_put_bool(&w, "news", conn == NULL);
    return conn ? azc_send_json(conn, &w) : azc_broadcast_json(channel, NULL, &w, NULL);
}

static int send_rooms(azc_conn *conn) {
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

/* Name the user before the connection opens. A real program takes the user from a session cookie or
   a token; this one believes the query. */
static int presence_upgrade(azc_conn *conn) {
    const char *name = azc_query(conn, "name");
    if (!name || strlen(name) > MAX_NAME) return 400;
    return azc_set_user(conn, name) == AZC_OK ? AZC_OK : 400; /* refuses "" */
}

/* Send the users of each room, then join one. on_presence sends that to everyone. */
static int presence_connect(azc_conn *conn) {
    azc_channel *channel = azc_channel_of(conn);
    tab *me = azc_data(conn);
    const char *wanted = azc_query(conn, "room"); /* the room before a reconnect */
    me->room = rooms[0];
    for (int i = 0; wanted && i < ROOMS; i++) {
        if (strcmp(rooms[i], wanted) == 0) me->room = rooms[i];
    }
    int error = send_rooms(conn);
    for (int i = 0; i < ROOMS; i++) {
        for (azc_cursor c = azc_users(channel, rooms[i]); error == AZC_OK && azc_cursor_next(&c);) {
            error = send_presence(channel, conn, rooms[i], c.user, 1);
        }
    }
    return error != AZC_OK ? error : azc_join(conn, me->room);
}

/* on_presence: the first tab of a user joined a room (present 1), or the last one left (present 0). */
static void presence_change(azc_channel *channel, const char *room, const char *user, int present) {
    send_presence(channel, NULL, room, user, present);
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
    return error != AZC_OK ? error : azc_join(conn, room);
}

/* Send a wave to every tab of a user, in any room. */
static int wave(azc_conn *conn, azc_json to) {
    char user[MAX_NAME + 1], buf[6 * MAX_NAME + 64];
    if (azc_json_string(to, user, sizeof user) < 0) return AZC_ERR_APP;
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "wave");
    azc_put_string(&w, "from", azc_user(conn));
    int error = azc_put_finish(&w);
    return error != AZC_OK ? error : azc_send_user(azc_channel_of(conn), user, w.text, w.len);
}

/* Pages send {"enter":"garden"} or {"wave":"Ada"}. */
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

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);

    azc_channel_desc presence = {0};
    presence.path = "/presence";
    presence.data_size = sizeof(tab);
    presence.on_upgrade = presence_upgrade;
    presence.on_connect = presence_connect;
    presence.on_message = presence_message;
    azc_on_presence(azc_add_channel(server, &presence), presence_change);

    azc_add_page(server, "/", "text/html; charset=utf-8", presence_page, sizeof presence_page);
    azc_add_client(server, "/azchan.js");
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
