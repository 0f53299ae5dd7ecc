/* chat.c: four channels, and a page that uses two of them, in one binary.

       cc -I. examples/chat.c -o chat && ./chat [[host:]port]

   Then open http://127.0.0.1:4000/ in two tabs. Each channel has a section; main registers them.
   The page is pages/chat.html, which `make pages` turns into chat_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "chat_page.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Send an error message; code may be NULL. */
static int send_error(azc_conn *conn, const char *code, const char *message) {
    char buf[256];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "error");
    if (code) azc_put_string(&w, "code", code);
    azc_put_string(&w, "message", message);
    return azc_send_json(conn, &w);
}

/* ==== /chat: one place for everyone =========================================================== */

typedef struct chatter {
    char guest[32]; /* the name of a peer that gave none */
} chatter;

static const char *chat_name(azc_conn *conn) {
    const char *name = azc_query(conn, "name");
    return name && *name ? name : ((chatter *)azc_data(conn))->guest;
}

static int chat_send_count(azc_channel *channel) {
    char buf[64];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "users");
    azc_put_uint(&w, "count", azc_count(channel, NULL));
    return azc_broadcast_json(channel, NULL, &w, NULL);
}

static int chat_connect(azc_conn *conn) {
    chatter *me = azc_data(conn);
    snprintf(me->guest, sizeof me->guest, "guest-%" PRIu64, azc_stats(azc_server_of(conn))->opened);

    char buf[64];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "connected");
    azc_put_string(&w, "message", "Welcome!");
    int error = azc_send_json(conn, &w);
    return error != AZC_OK ? error : chat_send_count(azc_channel_of(conn));
}

/* Peers send {"type":...}: "message" goes to everyone, "typing" to the others, "ping" back. */
static int chat_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    if (azc_json_read(&in, text, len) != AZC_OK) {
        return send_error(conn, "INVALID_JSON", "Invalid JSON");
    }
    azc_json type = azc_json_get(in, "type"), content = azc_json_get(in, "content");

    /* Always large enough: a message has at most 64 KiB (max_message). A name comes from a request
       of at most 8 KiB (max_request) and grows sixfold if every byte needs an escape. */
    static char buf[64 * 1024 + 6 * 8 * 1024 + 64];
    azc_writer w = azc_put_begin(buf, sizeof buf);

    if (azc_json_equals(type, "message") && content.type != AZC_JSON_NONE) {
        azc_put_string(&w, "type", "message");
        azc_put_string(&w, "from", chat_name(conn));
        azc_put_json(&w, "content", content); /* any JSON value, unchanged */
        return azc_broadcast_json(azc_channel_of(conn), NULL, &w, NULL);
    }
    if (azc_json_equals(type, "typing")) {
        azc_put_string(&w, "type", "typing");
        azc_put_string(&w, "from", chat_name(conn));
        return azc_broadcast_json(azc_channel_of(conn), NULL, &w, conn);
    }
    if (azc_json_equals(type, "ping")) {
        azc_put_string(&w, "type", "pong");
        return azc_send_json(conn, &w);
    }
    return send_error(conn, NULL, "Unknown message type");
}

static void chat_close(azc_conn *conn, int code, const char *reason) {
    (void)code;
    (void)reason;
    chat_send_count(azc_channel_of(conn)); /* conn no longer counts */
}

/* ==== /secure and /private: only with a token ================================================= */

/* The user of the request's token, or NULL. A real program looks the token up among those that it
   issued at login and that have not expired. */
static const char *user_of_token(azc_conn *conn) {
    const char *token = azc_query(conn, "token");
    return token && strcmp(token, "secret") == 0 ? "ada" : NULL;
}

/* /secure accepts every connection and then closes those without a valid token. A script in a
   browser sees the message and the close code. */
static int secure_connect(azc_conn *conn) {
    const char *user = user_of_token(conn);
    if (!user) {
        send_error(conn, NULL, "Unauthorized");
        return azc_close(conn, 4001, "Unauthorized"); /* the error is sent first */
    }
    char buf[64];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "authenticated");
    azc_put_string(&w, "user", user);
    return azc_send_json(conn, &w);
}

/* /private refuses the request itself. A script in a browser sees only that it failed. */
static int private_upgrade(azc_conn *conn) {
    if (user_of_token(conn)) return AZC_OK;
    azc_reply_header(conn, "WWW-Authenticate", "Bearer"); /* RFC 9110 requires it with a 401 */
    return 401;
}

/* ==== /rooms/:room_id: messages to the others in a room ======================================= */

static int room_connect(azc_conn *conn) {
    const char *room = azc_param(conn, "room_id");
    int error = azc_join(conn, room);
    if (error != AZC_OK) return azc_close(conn, 1008, azc_strerror(error)); /* too long, say */

    char buf[6 * 255 + 64]; /* each byte of the name may become \u00XX */
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "joined");
    azc_put_string(&w, "room", room);
    return azc_broadcast_json(azc_channel_of(conn), room, &w, conn);
}

static int room_binary(azc_conn *conn, const void *data, size_t len) {
    return azc_broadcast_binary(azc_channel_of(conn), azc_param(conn, "room_id"), data, len, conn);
}

/* ==== The program ============================================================================= */

static void add_channels(azc_server *server) {
    azc_channel_desc chat = {0};
    chat.path = "/chat";
    chat.data_size = sizeof(chatter);
    chat.on_connect = chat_connect;
    chat.on_message = chat_message;
    chat.on_close = chat_close;
    azc_add_channel(server, &chat);

    azc_channel_desc secure = {0};
    secure.path = "/secure";
    secure.on_connect = secure_connect;
    azc_add_channel(server, &secure);

    secure.path = "/private";
    secure.on_upgrade = private_upgrade;
    azc_add_channel(server, &secure);

    azc_channel_desc rooms = {0};
    rooms.path = "/rooms/:room_id";
    rooms.on_connect = room_connect;
    rooms.on_message = azc_send_room;
    rooms.on_binary = room_binary;
    azc_add_channel(server, &rooms);
}

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;

    azc_server *server = azc_create(&config);
    azc_stop_on_signals(server);
    azc_log_to(server, stderr, AZC_LOG_NOTICE); /* each request too */
    add_channels(server);
    azc_add_page(server, "/", "text/html; charset=utf-8", chat_page, sizeof chat_page);
    azc_add_client(server, "/azchan.js");
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
