/* chat.c: four channels and the page that uses two of them, in one binary.

       cc examples/chat.c -o chat && ./chat [port]

   then open http://127.0.0.1:4000/ twice. Read it top down: a section per channel, then main,
   where they are registered. The page is chat_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "chat_page.h"
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every error this program tells a peer; code may be NULL. */
static int send_error(azc_conn *conn, const char *code, const char *message) {
    char buf[256];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "error");
    if (code) azc_put_string(&w, "code", code);
    azc_put_string(&w, "message", message);
    return azc_send_json(conn, &w);
}

/* ==== /chat: everyone in one place ============================================================ */

typedef struct chatter {
    char guest[32]; /* the name of those who gave none */
} chatter;

static const char *chat_name(azc_conn *conn) {
    const char *name = azc_query(conn, "name");
    return name && *name ? name : ((chatter *)azc_data(conn))->guest;
}

static int chat_tell_count(azc_channel *channel) {
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
    return error < 0 ? error : chat_tell_count(azc_channel_of(conn));
}

/* What a peer sends is {"type":...}: "message" goes to all, "typing" to the others, "ping" back. */
static int chat_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    if (azc_json_read(&in, text, len) != AZC_OK) {
        return send_error(conn, "INVALID_JSON", "Invalid JSON");
    }
    azc_json type = azc_json_get(in, "type"), content = azc_json_get(in, "content");

    /* Always enough: a message is at most 64 KiB (max_message), and a name, of a request of at
       most 8 KiB (max_request), grows sixfold if all of it has to be escaped. */
    static char buf[64 * 1024 + 6 * 8 * 1024 + 64];
    azc_writer w = azc_put_begin(buf, sizeof buf);

    if (azc_json_equals(type, "message") && content.type != AZC_JSON_NONE) {
        azc_put_string(&w, "type", "message");
        azc_put_string(&w, "from", chat_name(conn));
        azc_put_json(&w, "content", content); /* any value, passed on as it came */
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
    chat_tell_count(azc_channel_of(conn)); /* conn is not counted any more */
}

/* ==== /secure and /private: who may come in =================================================== */

/* The user a token belongs to, or NULL. A real program looks it up, in a table of tokens that it
   gave out at login and that expire. */
static const char *user_of_token(azc_conn *conn) {
    const char *token = azc_query(conn, "token");
    return token && strcmp(token, "secret") == 0 ? "ada" : NULL;
}

/* /secure lets everyone connect and then tells strangers why they have to go. A browser's script
   sees the message and the code. */
static int secure_connect(azc_conn *conn) {
    const char *user = user_of_token(conn);
    if (!user) {
        send_error(conn, NULL, "Unauthorized");
        return azc_close(conn, 4001, "Unauthorized"); /* what was sent before still goes out */
    }
    char buf[64];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "authenticated");
    azc_put_string(&w, "user", user);
    return azc_send_json(conn, &w);
}

/* /private asks before there is a connection. A browser's script sees only that it failed. */
static int private_upgrade(azc_conn *conn) {
    if (user_of_token(conn)) return AZC_OK;
    azc_reply_header(conn, "WWW-Authenticate", "Bearer"); /* RFC 9110 wants it with a 401 */
    return 401;
}

/* ==== /rooms/:room_id: what is said in a room stays there ===================================== */

static int room_connect(azc_conn *conn) {
    const char *room = azc_param(conn, "room_id");
    int error = azc_join(conn, room);
    if (error < 0) return azc_close(conn, 1008, azc_strerror(error)); /* over 255 bytes, say */

    char buf[6 * 255 + 64]; /* each byte of a room's name may become \u00XX */
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "joined");
    azc_put_string(&w, "room", room);
    return azc_broadcast_json(azc_channel_of(conn), room, &w, conn);
}

static int room_message(azc_conn *conn, const char *text, size_t len) {
    return azc_broadcast(azc_channel_of(conn), azc_param(conn, "room_id"), text, len, conn);
}

static int room_binary(azc_conn *conn, const void *data, size_t len) {
    return azc_broadcast_binary(azc_channel_of(conn), azc_param(conn, "room_id"), data, len, conn);
}

/* ==== The program ============================================================================= */

static azc_server *server; /* global for the signal handler only */

static void stop(int signum) {
    (void)signum;
    azc_stop(server);
}

static void print_log(void *file, const char *message) {
    fprintf(file, "chat: %s\n", message);
}

static void add_channels(void) {
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
    rooms.on_message = room_message;
    rooms.on_binary = room_binary;
    azc_add_channel(server, &rooms);
}

/* The pieces of chat_page.h as one page. */
static void add_page(void) {
    static char page[32 * 1024];
    size_t len = 0;
    for (size_t i = 0; i < sizeof chat_page / sizeof *chat_page; i++) {
        size_t n = strlen(chat_page[i]);
        if (n > sizeof page - len) abort(); /* the page grew: make it larger */
        memcpy(page + len, chat_page[i], n);
        len += n;
    }
    azc_add_page(server, "/", "text/html; charset=utf-8", page, len);
}

int main(int argc, char **argv) {
    char *end = NULL;
    long port = argc > 1 ? strtol(argv[1], &end, 10) : 4000;
    if (argc > 2 || (end && (end == argv[1] || *end)) || port < 0 || port > 65535) {
        fprintf(stderr, "usage: chat [port], 0 (any free one) to 65535; 4000 when left out\n");
        return 2;
    }
    azc_config config = {0};
    config.port = (int)port;
    config.log = print_log;
    config.log_userdata = stderr;

    server = azc_create(&config);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    azc_use(server, azc_logger, stderr); /* stdout has the address and nothing else */
    add_channels();
    add_page();
    if (azc_listen(server) == AZC_OK) printf("http://127.0.0.1:%d/\n", azc_port(server));
    fflush(stdout); /* it may be a pipe */
    int error = azc_run(server);
    if (error != AZC_OK) fprintf(stderr, "chat: %s\n", azc_error(server));
    azc_destroy(server);
    return error == AZC_OK ? 0 : 1;
}
