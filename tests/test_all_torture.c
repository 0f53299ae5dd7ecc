/* Callbacks that misbehave: each callback performs each action on its own connection and on others,
 * and then a second action. After each: one on_close for each on_connect, no callback after it,
 * counts that agree with a walk, and nothing left behind. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "client.h"

enum { UPGRADE_, CONNECT, MESSAGE, BINARY_, PING_, PONG_, DRAIN, CLOSE_, ERROR_, PART, PRESENCE,
       ROOM_, CALLBACKS };
static const char *const callback_names[] = {"on_upgrade", "on_connect", "on_message", "on_binary",
                                             "on_ping", "on_pong", "on_drain", "on_close",
                                             "on_error", "on_part", "on_presence", "on_room"};

#define ACTIONS(X)                                                                               \
    X(nothing) X(close) X(close_bare) X(join) X(join_new) X(leave) X(leave_all) X(broadcast)     \
    X(broadcast_big) X(send) X(send_big) X(flood) X(ping) X(stop) X(walk) X(walk_room)           \
    X(walk_rooms) X(find) X(fail) X(poll) X(latest) X(keep) X(rates)
#define ACTION_ENUM(name) DO_##name,
enum { ACTIONS(ACTION_ENUM) DO_COUNT };
#define ACTION_NAME(name) #name,
static const char *const action_names[] = {ACTIONS(ACTION_NAME) ""};

/* Targets: the one called; one that is served before it in a turn, and one after; all. */
enum { SELF, BEFORE, AFTER, ALL, TARGETS };
static const char *const target_names[] = {"itself", "one before", "one after", "all"};

static struct {
    int callback, action[2], target[2];
    int fired;
} deed;
static long deeds;

/* ---- What each connection has seen ----------------------------------------------------------- */

enum { PEERS = 4, LIVES = 8 };
typedef struct life {
    azc_conn *conn; /* good until its on_close, closing or not */
    uint64_t id;
    int opened, closed, code;
} life;
static life lives[LIVES]; /* in order of on_connect; what azc_data counts */
static int born;
static azc_channel *channel;
static azc_server *server;
static char big[1500];

static life *life_of(azc_conn *conn) { return *(life **)azc_data(conn); }

/* Each count agrees with a walk, and every connection visited is open. */
static void census(void) {
    static const char *const rooms[] = {NULL, "hall", "annex", "new"};
    for (int i = 0; i < 4; i++) {
        size_t n = 0;
        for (azc_cursor c = azc_members(channel, rooms[i]); azc_cursor_next(&c) && n < 100; n++) {
            CHECK(life_of(c.conn) && life_of(c.conn)->closed == 0);
            CHECK(azc_find(server, azc_id(c.conn)) == c.conn);
        }
        CHECK_INT(azc_count(channel, rooms[i]), n);
    }
    CHECK_INT(azc_stats(server)->open, azc_count(channel, NULL));
}

/* NULL: it is gone, which is fine too */
static azc_conn *conn_of(int i) { return lives[i].closed ? NULL : lives[i].conn; }

static azc_conn *target_conn(azc_conn *self, int target) {
    return target == SELF ? self : target == BEFORE ? conn_of(0) : conn_of(2);
}

/* ---- Actions --------------------------------------------------------------------------------- */

static int act(azc_conn *conn, int action);

static int bit_of(azc_conn *conn) { return 1 << (life_of(conn) - lives); }

/* The members of a room, or with NULL of the channel, as bits. */
static int roll(const char *room) {
    int all = 0;
    for (azc_cursor c = azc_members(channel, room); azc_cursor_next(&c);) all |= bit_of(c.conn);
    return all;
}

/* Do the second action at each that a walk meets, to it or to others. Who was there before and is
 * there after has been met, once, and only the living are met. */
static void walk_and(const char *room, int action) {
    int before = roll(room), met = 0, n = 0;
    for (azc_cursor c = azc_members(channel, room); azc_cursor_next(&c) && n++ < 20;) {
        CHECK(azc_find(server, azc_id(c.conn)) == c.conn && life_of(c.conn)->closed == 0);
        CHECK(!(met & bit_of(c.conn)));
        met |= bit_of(c.conn);
        if (deed.target[1] != ALL) act(target_conn(c.conn, deed.target[1]), action);
        for (int i = 0; deed.target[1] == ALL && i < born; i++) act(conn_of(i), action);
    }
    CHECK_INT(before & roll(room) & ~met, 0);
}

static int act(azc_conn *conn, int action) {
    int result = AZC_OK;
    int second = deed.action[1] == DO_walk || deed.action[1] == DO_walk_room ||
                 deed.action[1] == DO_walk_rooms ? DO_close : deed.action[1];
    switch (action) {
    case DO_close: azc_close(conn, 4000, "told to go"); break;
    case DO_close_bare: azc_close(conn, 0, NULL); break;
    case DO_join: result = azc_join(conn, "hall"); break;
    case DO_join_new: result = azc_join(conn, "new"); break;
    case DO_leave: azc_leave(conn, "hall"); break;
    case DO_leave_all: azc_leave_all(conn); break;
    case DO_broadcast: azc_broadcast(channel, NULL, "all", 3, NULL); break;
    case DO_broadcast_big: azc_broadcast(channel, "hall", big, sizeof big, conn); break;
    case DO_send: azc_send_text(conn, "word", 4); break;
    case DO_send_big: azc_send_binary(conn, big, sizeof big); break;
    case DO_flood:
        for (int i = 0; conn && i < 20; i++) azc_send_binary(conn, big, sizeof big);
        break;
    case DO_ping: azc_ping(conn, "p", 1); break;
    case DO_stop: azc_stop(server); break;
    case DO_walk: walk_and(NULL, second); break;
    case DO_walk_room: walk_and("hall", second); break;
    case DO_walk_rooms:
        for (azc_cursor c = azc_rooms(conn); azc_cursor_next(&c);) {
            CHECK(*c.room);
            azc_leave(c.conn, c.room);
            act(c.conn, second);
        }
        break;
    case DO_find:
        for (int i = 0; i < born; i++) {
            azc_conn *found = azc_find(server, lives[i].id);
            if (found) CHECK(lives[i].closed == 0 && life_of(found) == &lives[i]);
        }
        break;
    case DO_fail: return AZC_ERR_APP;
    case DO_latest:
        send_latest(conn, 1, "old", 3), sent_latest(channel, NULL, 1, big, 9, conn);
        break;
    case DO_keep:
        azc_set_history(channel, "kept", 3, 4000), azc_broadcast(channel, "kept", big, 1200, NULL);
        azc_join(conn, "kept"), azc_leave(conn, "kept"), azc_set_history(channel, "kept", 0, 0);
        break;
    case DO_rates:
        for (int i = 0; i < 3; i++) {
            sent_throttled(channel, "hall", 1, 1, "value", 5);
            sent_batched(channel, NULL, 1, "[]", 2);
        }
        break;
    case DO_poll: /* refused */
        CHECK_INT(azc_poll(server, 0), AZC_ERR_STATE);
        CHECK_INT(azc_destroy(server), AZC_ERR_STATE);
        break;
    default: break;
    }
    return result < 0 && result != AZC_ERR_CLOSED && result != AZC_ERR_STATE &&
           result != AZC_ERR_ARGUMENT ? result : AZC_OK;
}

/* The deed is done once, in the callback that it is for. */
static int fire(azc_conn *conn, int callback) {
    int result = AZC_OK;
    if (deed.callback != callback || deed.fired++) return AZC_OK;
    for (int i = 0; i < 2; i++) {
        if (deed.target[i] == ALL) {
            for (int j = 0; j < born; j++) act(conn_of(j), deed.action[i]);
            continue;
        }
        azc_conn *target = target_conn(conn, deed.target[i]);
        int got = act(target, deed.action[i]);
        if (got < 0) result = got;
    }
    census();
    return result;
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

static void alive(azc_conn *conn) {
    life *l = life_of(conn);
    if (CHECK(l != NULL)) CHECK(l->opened == 1 && l->closed == 0 && l->id == azc_id(conn));
    CHECK(azc_find(server, azc_id(conn)) == conn);
}

static int in_upgrade(azc_conn *conn) {
    CHECK(life_of(conn) == NULL);
    if (deed.callback == PRESENCE) CHECK_INT(azc_set_user(conn, "ada"), AZC_OK);
    if (born == PEERS) fire(conn, UPGRADE_);
    return AZC_OK;
}
static int in_connect(azc_conn *conn) {
    if (!CHECK(born < LIVES)) abort();
    life *l = *(life **)azc_data(conn) = &lives[born++];
    CHECK(l->opened == 0);
    l->conn = conn, l->id = azc_id(conn), l->opened = 1;
    azc_join(conn, "hall"), azc_join(conn, "annex");
    if (deed.callback >= PRESENCE && born > PEERS) azc_join(conn, "attic");
    return born > PEERS ? fire(conn, CONNECT) : AZC_OK;
}
static int in_message(azc_conn *conn, const char *text, size_t len) {
    alive(conn);
    if (strcmp(text, "error") == 0) return AZC_ERR_APP;
    if (strcmp(text, "deed") != 0) return azc_send_text(conn, text, len);
    int result = fire(conn, MESSAGE);
    CHECK_STR(text, "deed"); /* good until the callback returns */
    return result;
}
static int in_binary(azc_conn *conn, const void *data, size_t len) {
    alive(conn);
    int result = fire(conn, BINARY_);
    CHECK(len == 4 && memcmp(data, "deed", 4) == 0);
    return result;
}
static int in_ping(azc_conn *conn, const void *data, size_t len) {
    alive(conn);
    int result = len ? fire(conn, PING_) : AZC_OK;
    CHECK(len == 0 || (len == 4 && memcmp(data, "deed", 4) == 0));
    return result;
}
static int in_pong(azc_conn *conn, const void *data, size_t len) {
    alive(conn);
    int result = len ? fire(conn, PONG_) : AZC_OK;
    CHECK(len == 0 || (len == 4 && memcmp(data, "deed", 4) == 0));
    return result;
}
static int in_part(azc_conn *conn, const void *data, size_t len, int flags) {
    const char *text = (const char *)data;
    alive(conn);
    char last = len ? text[len - 1] : 0;
    int result = last == 'd' && flags & AZC_PART_LAST ? fire(conn, PART) : AZC_OK; /* of "deed" */
    CHECK((len ? text[len - 1] : 0) == last);
    return result;
}
/* No connection's callbacks; the newcomer is the first in a room. */
static void in_presence(azc_channel *of, const char *room, const char *user, int here) {
    CHECK(of == channel && strcmp(user, "ada") == 0 && (here == 0 || here == 1));
    census();
    if (born > PEERS && room) fire(conn_of(1), PRESENCE);
}
static void in_room(azc_channel *of, const char *room, int there) {
    CHECK(of == channel && *room && (there == 0 || there == 1));
    census();
    if (born > PEERS) fire(conn_of(1), ROOM_);
}
static int in_drain(azc_conn *conn) {
    alive(conn);
    return fire(conn, DRAIN);
}
static void in_close(azc_conn *conn, int code, const char *reason) {
    life *l = life_of(conn);
    if (CHECK(l != NULL)) CHECK(l->opened == 1 && l->closed == 0 && l->id == azc_id(conn));
    CHECK(azc_find(server, azc_id(conn)) == NULL);
    CHECK(code == 4000 ? strcmp(reason, "told to go") == 0 : strlen(reason) < 100);
    if (l) l->closed++, l->code = code;
    for (azc_cursor c = azc_rooms(conn); azc_cursor_next(&c);) CHECK(*c.room != 0);
    census();
    fire(conn, CLOSE_);
}
static void in_error(azc_conn *conn, int error) {
    life *l = life_of(conn);
    CHECK(error < 0 && l && l->opened == 1 && l->closed == 0);
    fire(conn, ERROR_);
}

/* ---- One deed -------------------------------------------------------------------------------- */


static azc_server *fresh(void) {
    azc_config config = quick();
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    config.max_message = 2048, config.read_buffer = 2048, config.max_backlog = 8192;
    config.close_ms = 20, config.log = NULL;
    d.path = "/t", d.data_size = sizeof(life *);
    d.on_upgrade = in_upgrade, d.on_connect = in_connect, d.on_message = in_message;
    d.on_binary = in_binary, d.on_ping = in_ping, d.on_pong = in_pong, d.on_drain = in_drain;
    d.on_close = in_close, d.on_error = in_error;
    if (!(server = azc_create(&config)) || !(channel = azc_add_channel(server, &d))) abort();
    if (deed.callback == PART) azc_on_part(channel, in_part);
    if (deed.callback == PRESENCE) azc_on_presence(channel, in_presence);
    if (deed.callback == ROOM_) azc_on_room(channel, in_room);
    CHECK_INT(azc_listen(server), AZC_OK);
    return server;
}

/* A client whose socket the server receives without accept. */
static client *adopt(void) {
    static const azc__visitor nobody = {0, {0}};
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) abort();
    fcntl(fds[0], F_SETFL, O_NONBLOCK), fcntl(fds[1], F_SETFL, O_NONBLOCK);
    azc_conn *conn = azc__conn_make(server, fds[1], &nobody);
    if (!conn || !azc__source_watch(server, &conn->source, AZC__EVENT_READ)) abort();
    client *c = client_on(server, fds[0]);
    client_print(c, "GET /t HTTP/1.1\r\n" UPGRADE "\r\n");
    return c;
}

/* "deed" in one piece, in two fragments, or in two segments: it lies in the read buffer then, or
 * in the connection's own memory. */
static void in_parts(client *c, int opcode, long how) {
    unsigned char out[20];
    size_t n = put_frame(out, FIN | opcode, "deed", 4, SHORTEST, some_mask);
    if (how == 1 && opcode < CLOSE) {
        client_frame(c, opcode, "de", 2), client_frame(c, FIN | CONTINUATION, "ed", 2);
        return;
    }
    if (how == 2) client_send(c, out, n - 2), azc_poll(server, 0);
    client_send(c, out + (how == 2 ? n - 2 : 0), how == 2 ? 2 : n);
}

static void busy(client *all[PEERS + 1]) {
    for (int i = 0; i < PEERS; i++)
        if (i != 1) client_frame(all[i], FIN | PING, "", 0), client_text(all[i], "busy");
}

/* What makes the server call the callback for client 1, or for a newcomer; all the others are
 * busy in the same turn, so that the server's list of who has something to do holds them all. */
static void provoke(client *all[PEERS + 1], int callback) {
    client *c = all[1];
    if (deeds % 3 != 2) busy(all);
    switch (callback) {
    case MESSAGE: case PART: in_parts(c, TEXT, deeds % 3); break;
    case BINARY_: in_parts(c, BINARY, deeds % 3); break;
    case PING_: in_parts(c, PING, deeds % 3); break;
    case PONG_: in_parts(c, PONG, deeds % 3); break;
    case DRAIN: {
        azc_conn *conn = azc_find(server, lives[1].id);
        for (int i = 0; conn && i < 4; i++) azc_send_binary(conn, big, sizeof big);
        break;
    }
    case CLOSE_: client_bye(c, 4321, "peer"); break;
    case ERROR_: client_text(c, "error"); break;
    default: c = all[PEERS] = adopt();
    }
    if (deeds % 3 == 2) busy(all);
    if (deeds % 2) client_close(all[3]), all[3] = NULL; /* the flush finds that out */
    client_text(c, "after");
    if (callback == CLOSE_) return;
    client_frame(c, FIN | PING, "", 0), client_frame(c, FIN | TEXT, "more", 4);
}

/* Except for memory that depends on the load. */
static size_t bytes_held(void) {
    return memory.bytes - server->mem.pool->bytes - server->slot_cap * sizeof *server->slots;
}

static void play(void) {
    client *all[PEERS + 1] = {0};
    int bad = test.bad;
    size_t bytes = bytes_held();
    born = 0, deed.fired = 0, deeds++;
    memset(lives, 0, sizeof lives);
    for (int i = 0; i < PEERS; i++) all[i] = adopt();
    azc_poll(server, 0);
    provoke(all, deed.callback);
    for (int i = 0; i < 4; i++) {
        azc_poll(server, 0);
        census();
        for (int j = 0; j <= PEERS; j++) if (all[j]) client_fill(all[j]);
    }
    CHECK(deed.fired > 0);
    for (int i = 0; i <= PEERS; i++) if (all[i]) client_close(all[i]);
    for (int i = 0; i < 50 && server->conn_count > 0; i++) azc_poll(server, 1);
    CHECK_INT(server->conn_count, 0);
    for (int i = 0; i < born; i++) CHECK(lives[i].opened == 1 && lives[i].closed == 1);
    CHECK_INT(azc_count(channel, NULL), 0);
    CHECK_INT(azc_count(channel, "hall"), 0);
    for (int i = 0; i < 20 && server->room_count > 0; i++) azc_poll(server, 1); /* periods end */
    if (!server->stopping) CHECK_INT(server->room_count, 0); /* else azc_destroy ends them */
    CHECK(server->limbo == NULL);
    CHECK_INT(azc_stats(server)->open, 0);
    if (!server->stopping) CHECK_INT(bytes_held(), bytes);
    if (server->stopping) {
        CHECK_INT(azc_destroy(server), AZC_OK);
        CHECK_INT(memory.bytes, 0);
        fresh();
    }
    if (test.bad > bad)
        printf("    %s: %s to %s, then %s to %s\n", callback_names[deed.callback],
               action_names[deed.action[0]], target_names[deed.target[0]],
               action_names[deed.action[1]], target_names[deed.target[1]]);
}

/* The second action is for the first one's target or for the one called; with TEST_FULL for any.
 * Under valgrind, or with TEST_QUICK, one in 31. */
static int wanted(void) {
    static long n;
    const char *preload = getenv("LD_PRELOAD");
    if (getenv("TEST_QUICK") || (preload && strstr(preload, "vgpreload"))) return n++ % 31 == 0;
    return deed.target[1] == deed.target[0] || deed.target[1] == SELF || getenv("TEST_FULL");
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    signal(SIGPIPE, SIG_DFL);
    memset(big, 'b', sizeof big);
    for (int callback = 0; callback < CALLBACKS; callback++) {
        char sentence[100];
        snprintf(sentence, sizeof sentence, "every two actions in %s", callback_names[callback]);
        TEST(sentence) {
            int before = descriptors();
            deed.callback = callback;
            fresh();
            for (int i = 0; i < DO_COUNT * DO_COUNT * TARGETS * TARGETS; i++) {
                deed.action[0] = i % DO_COUNT, deed.action[1] = i / DO_COUNT % DO_COUNT;
                deed.target[0] = i / DO_COUNT / DO_COUNT % TARGETS;
                deed.target[1] = i / DO_COUNT / DO_COUNT / TARGETS;
                if (wanted()) play();
            }
            CHECK_INT(azc_destroy(server), AZC_OK);
            CHECK_INT(memory.bytes, 0);
            CHECK_INT(memory.blocks, 0);
            CHECK_INT(descriptors(), before);
        }
    }
    printf("test_all_torture: %ld deeds\n", deeds);
    return test_end();
}
