/* chat.c: a chat with names, rooms, history and a page; and the four channels of the guide, whose
   peers share the page's rooms. All in one binary.

       cc -I. examples/chat.c -o chat && ./chat [[host:]port]

   Then open http://127.0.0.1:4000/ in two tabs. Each channel has a section; main registers them.
   The page is pages/chat.html, which `make pages` turns into chat_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "chat_page.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static azc_channel *talk, *chat, *rooms;

/* Always large enough: for a message of 64 KiB (max_message) as it is, or for a text of MAX_TEXT of
   which each byte becomes \u00XX; and for a name of the same kind, from a request of 8 KiB. */
enum { MAX_TEXT = 16 * 1024 };
static char buf[6 * (MAX_TEXT + 8 * 1024) + 512];

/* Send an error message; code may be NULL. */
static int send_error(azc_conn *conn, const char *code, const char *message) {
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "error");
    if (code) azc_put_string(&w, "code", code);
    azc_put_string(&w, "message", message);
    return azc_send_json(conn, &w);
}

/* ==== /talk: the page's rooms ================================================================= */

/* The page joins several rooms over one connection, and azchan.js keeps it open. Pages send

       {"type":"join","room":"tea"}                           answered by who is there (:users)
       {"type":"say","room":"tea","id":"x7","content":"Hi"}   comes back to all, the sender too
       {"type":"typing","room":"tea"}
       {"type":"ping","ref":1}

   A message is sent to the sender as well, with its id: that is how the page knows that it arrived.
   If the connection ends before, the page sees after the reconnect whether it is among those that
   it missed, and sends it again if not. So nothing is said twice, and nothing is lost. */

enum {
    MAX_NAME = 4 * 24, MAX_ROOM = 4 * 40, /* bytes of 24 and of 40 characters */
    MAX_ROOMS = 20,                       /* of one page */
    KEPT_ROOMS = 50, KEPT_MESSAGES = 200, KEPT_BYTES = 64 * 1024
};

/* Have the room keep its messages, in place of a room that is empty. If there is none, this room
   keeps nothing: visitors choose the names, so the memory must have a limit. */
static void talk_keep(const char *room) {
    static char kept[KEPT_ROOMS][MAX_ROOM + 1];
    static int next;
    for (int i = 0; i < KEPT_ROOMS; i++) {
        if (strcmp(kept[i], room) == 0) return;
    }
    for (int i = 0; i < KEPT_ROOMS; i++) {
        char *place = kept[next++ % KEPT_ROOMS];
        if (*place && azc_count(talk, place) > 0) continue;
        if (*place) azc_set_history(talk, place, 0, KEPT_BYTES);
        strcpy(place, room);
        azc_set_history(talk, room, KEPT_MESSAGES, KEPT_BYTES);
        return;
    }
}

static int talk_join(azc_conn *conn, const char *room) {
    int count = 0;
    for (azc_cursor c = azc_rooms(conn); azc_cursor_next(&c);) count++;
    if (count >= MAX_ROOMS) return send_error(conn, "ROOMS", "Too many rooms");
    talk_keep(room);
    int error = azc_join(conn, room);
    return error != AZC_OK ? error : azc_send_users(conn, room);
}

/* A real program takes the user from a session cookie or a token; this one believes the query. */
static int talk_upgrade(azc_conn *conn) {
    const char *name = azc_query(conn, "name");
    if (!name || strlen(name) > MAX_NAME) return 400;
    return azc_set_user(conn, name) == AZC_OK ? AZC_OK : 400; /* refuses "" */
}

/* Join the rooms of ?rooms=lobby,tea. After a reconnect azc_join sends what was missed. */
static int talk_connect(azc_conn *conn) {
    const char *all = azc_query(conn, "rooms");
    while (all && *all) {
        char room[MAX_ROOM + 1];
        size_t len = strcspn(all, ",");
        snprintf(room, sizeof room, "%.*s", len < sizeof room ? (int)len : 0, all);
        int error = *room ? talk_join(conn, room) : AZC_OK;
        if (error != AZC_OK) return error;
        all += len + (all[len] != 0);
    }
    return AZC_OK;
}

/* Begin a message to the pages in a room; the caller adds the content and broadcasts it. */
static azc_writer talk_begin(const char *room, const char *from) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "message");
    azc_put_string(&w, "room", room);
    azc_put_string(&w, "from", from);
    azc_put_int(&w, "at", (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    return w;
}

/* Show the pages of a room what a peer of /chat or /rooms said: the content, or without one the
   text. */
static void talk_show(const char *room, const char *from, azc_json content, const char *text,
                      size_t len) {
    if (len > MAX_TEXT) return;
    azc_writer w = talk_begin(room, from);
    if (content.type != AZC_JSON_NONE) azc_put_json(&w, "content", content);
    else azc_put_text(&w, "content", text, len);
    azc_broadcast_json(talk, room, &w, NULL);
}

/* What a page says reaches the pages of the room, and the guide's peers: /chat is the lobby. */
static int talk_say(azc_conn *conn, const char *room, azc_json in) {
    azc_json content = azc_json_get(in, "content"), id = azc_json_get(in, "id");
    if (content.type != AZC_JSON_STRING || id.type != AZC_JSON_STRING) return AZC_ERR_TYPE;
    if (content.len > MAX_TEXT || id.len > 64) return AZC_ERR_RANGE;
    azc_writer w = talk_begin(room, azc_user(conn));
    azc_put_json(&w, "id", id);
    azc_put_json(&w, "content", content);
    int error = azc_broadcast_json(talk, room, &w, NULL);
    if (error != AZC_OK) return error;

    w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "message");
    azc_put_string(&w, "from", azc_user(conn));
    azc_put_json(&w, "content", content);
    return strcmp(room, "lobby") == 0 ? azc_broadcast_json(chat, NULL, &w, NULL)
                                      : azc_broadcast_json(rooms, room, &w, NULL);
}

/* One by one, because the history would keep a broadcast. */
static int talk_typing(azc_conn *conn, const char *room) {
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "typing");
    azc_put_string(&w, "room", room);
    azc_put_string(&w, "from", azc_user(conn));
    int error = azc_put_finish(&w);
    if (error != AZC_OK) return error;
    for (azc_cursor c = azc_members(talk, room); azc_cursor_next(&c);) {
        if (c.conn != conn) azc_send_text(c.conn, w.text, w.len);
    }
    return AZC_OK;
}

static int talk_message(azc_conn *conn, const char *text, size_t len) {
    char room[MAX_ROOM + 1];
    azc_json in;
    if (azc_json_read(&in, text, len) != AZC_OK) return AZC_ERR_JSON;
    azc_json type = azc_json_get(in, "type");
    if (azc_json_equals(type, "ping")) {
        azc_writer w = azc_put_begin(buf, sizeof buf);
        azc_put_string(&w, "type", "pong");
        azc_put_json(&w, "ref", azc_json_get(in, "ref"));
        return azc_send_json(conn, &w);
    }
    if (azc_json_string(azc_json_get(in, "room"), room, sizeof room) <= 0) return AZC_ERR_RANGE;
    if (azc_json_equals(type, "join")) return talk_join(conn, room);
    if (azc_json_equals(type, "say")) return talk_say(conn, room, in);
    if (azc_json_equals(type, "typing")) return talk_typing(conn, room);
    return AZC_ERR_APP;
}

/* ==== /chat: one place for everyone =========================================================== */

typedef struct chatter {
    char guest[32]; /* the name of a peer that gave none */
} chatter;

static const char *chat_name(azc_conn *conn) {
    const char *name = azc_query(conn, "name");
    return name && *name ? name : ((chatter *)azc_data(conn))->guest;
}

static int chat_send_count(void) {
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "users");
    azc_put_uint(&w, "count", azc_count(chat, NULL));
    return azc_broadcast_json(chat, NULL, &w, NULL);
}

static int chat_connect(azc_conn *conn) {
    chatter *me = azc_data(conn);
    snprintf(me->guest, sizeof me->guest, "guest-%" PRIu64, azc_stats(azc_server_of(conn))->opened);

    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "connected");
    azc_put_string(&w, "message", "Welcome!");
    int error = azc_send_json(conn, &w);
    return error != AZC_OK ? error : chat_send_count();
}

/* Peers send {"type":...}: "message" goes to everyone, "typing" to the others, "ping" back. */
static int chat_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    if (azc_json_read(&in, text, len) != AZC_OK) {
        return send_error(conn, "INVALID_JSON", "Invalid JSON");
    }
    azc_json type = azc_json_get(in, "type"), content = azc_json_get(in, "content");
    azc_writer w = azc_put_begin(buf, sizeof buf);

    if (azc_json_equals(type, "message") && content.type != AZC_JSON_NONE) {
        azc_put_string(&w, "type", "message");
        azc_put_string(&w, "from", chat_name(conn));
        azc_put_json(&w, "content", content); /* any JSON value, unchanged */
        int error = azc_broadcast_json(chat, NULL, &w, NULL);
        if (error != AZC_OK) return error;
        talk_show("lobby", chat_name(conn), content, text, len);
        return AZC_OK;
    }
    if (azc_json_equals(type, "typing")) {
        azc_put_string(&w, "type", "typing");
        azc_put_string(&w, "from", chat_name(conn));
        return azc_broadcast_json(chat, NULL, &w, conn);
    }
    if (azc_json_equals(type, "ping")) {
        azc_put_string(&w, "type", "pong");
        return azc_send_json(conn, &w);
    }
    return send_error(conn, NULL, "Unknown message type");
}

static void chat_close(azc_conn *conn, int code, const char *reason) {
    (void)conn;
    (void)code;
    (void)reason;
    chat_send_count(); /* conn no longer counts */
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

/* What peers write is passed on as it is, so a peer could send the messages of azchan.js's own that
   begin with ":". Nobody here may believe them. */
static int room_upgrade(azc_conn *conn) {
    return azc_query(conn, "azchan") ? 400 : AZC_OK;
}

static int room_connect(azc_conn *conn) {
    const char *room = azc_param(conn, "room_id");
    int error = azc_join(conn, room);
    if (error != AZC_OK) return azc_close(conn, 1008, azc_strerror(error)); /* too long, say */

    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "joined");
    azc_put_string(&w, "room", room);
    return azc_broadcast_json(rooms, room, &w, conn);
}

/* The others get it as it is. Pages get a {"type":"message","from":...,"content":...} from what is
   one, and any other text as the content; but none of the events about joining and typing. */
static int room_message(azc_conn *conn, const char *text, size_t len) {
    const char *room = azc_param(conn, "room_id");
    char from[MAX_NAME + 1] = "";
    azc_json in, content = {0};
    int error = azc_send_room(conn, text, len);
    if (error != AZC_OK) return error;
    if (azc_json_read(&in, text, len) == AZC_OK && in.type == AZC_JSON_OBJECT) {
        if (!azc_json_equals(azc_json_get(in, "type"), "message")) return AZC_OK;
        content = azc_json_get(in, "content");
        azc_json_string(azc_json_get(in, "from"), from, sizeof from);
    }
    talk_show(room, *from ? from : "someone", content, text, len);
    return AZC_OK;
}

static int room_binary(azc_conn *conn, const void *data, size_t len) {
    return azc_broadcast_binary(rooms, azc_param(conn, "room_id"), data, len, conn);
}

/* ==== The program ============================================================================= */

static void add_channels(azc_server *server) {
    azc_channel_desc d = {0};
    d.path = "/talk";
    d.on_upgrade = talk_upgrade;
    d.on_connect = talk_connect;
    d.on_message = talk_message;
    talk = azc_add_channel(server, &d);
    azc_on_presence(talk, azc_send_presence);

    d = (azc_channel_desc){0};
    d.path = "/chat";
    d.data_size = sizeof(chatter);
    d.on_connect = chat_connect;
    d.on_message = chat_message;
    d.on_close = chat_close;
    chat = azc_add_channel(server, &d);

    d = (azc_channel_desc){0};
    d.path = "/secure";
    d.on_connect = secure_connect;
    azc_add_channel(server, &d);

    d.path = "/private";
    d.on_upgrade = private_upgrade;
    azc_add_channel(server, &d);

    d = (azc_channel_desc){0};
    d.path = "/rooms/:room_id";
    d.on_upgrade = room_upgrade;
    d.on_connect = room_connect;
    d.on_message = room_message;
    d.on_binary = room_binary;
    rooms = azc_add_channel(server, &d);
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
