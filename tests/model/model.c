/* model.c: random scripts against a real server on loopback, checked by a small model.
 *
 *     model SEED STEPS [FROM]     FROM: print what happens from this step on
 *
 * One process holds the server, its peers and the model. A step is one call of the API, one turn of
 * the loop, or one thing that a peer does. The model (model.h) predicts the exact bytes that each
 * peer receives, each callback with its arguments, and the result of each call. The run stops at
 * the first difference and names its seed and step. Even seeds use Unix sockets: such a run is the
 * same each time. Odd seeds use TCP, where the kernel decides when bytes arrive: a failure may need
 * several runs to show again.
 *
 * Hooks in the server's system calls make the prediction exact:
 *   clock_gettime  returns the model's clock: timers and deadlines are due when a script says so
 *   send, sendmsg  count the bytes that the kernel took. The rest is the peer's backlog, and a
 *                  latest value may be replaced only while none of its bytes was taken
 *   recv           counts the bytes that the server read, so the model knows which of the peer's
 *                  frames have arrived. All three cut what they move at random
 *   poll           separates the parts of a turn
 *
 * Some events cause no callback: a peer's Close or reset, the server's pings, a shutdown. The model
 * finds them when the server next calls something of ours (agree), and demands a reason for each.
 *
 * In a server made by azc_create_in no call may fail for lack of memory, and latest values, rates
 * and histories are refused. */
#define _DEFAULT_SOURCE 1
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef AZCHAN_USE_EPOLL
#include <sys/epoll.h>
#endif

/* AZC_SYS(call) is the function that HOOK_call names, or else the call itself. */
#define PICK(...) PICK_(__VA_ARGS__, 0)
#define PICK_(a, b, ...) b
#define AZC_SYS(call) PICK(HOOK_##call, call)
#define HOOK_clock_gettime 0, hook_clock
#define HOOK_accept 0, hook_accept
#define HOOK_accept4 0, hook_accept4
#define HOOK_recv 0, hook_recv
#define HOOK_send 0, hook_send
#define HOOK_sendmsg 0, hook_sendmsg
#define HOOK_close 0, hook_close
static int hook_clock(clockid_t, struct timespec *), hook_close(int);
static int hook_accept(int, struct sockaddr *, socklen_t *);
static int hook_accept4(int, struct sockaddr *, socklen_t *, int);
static ssize_t hook_recv(int, void *, size_t, int), hook_send(int, const void *, size_t, int);
static ssize_t hook_sendmsg(int, const struct msghdr *, int);
#ifdef AZCHAN_USE_EPOLL
#define HOOK_epoll_wait 0, hook_epoll_wait
static int hook_epoll_wait(int, struct epoll_event *, int, int);
#else
#define HOOK_poll 0, hook_poll
static int hook_poll(struct pollfd *, nfds_t, int);
#endif

#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"

#include "model.h"
#include "peers.h"

/* ---- The model meets the server -------------------------------------------------------------- */

/* A connection has ended without a call of the program: find the reason. */
static void find_end(peer *p) {
    const event *e = p->events;
    int said = p->event_count > 0 && e->start < p->read;
    int silent = p->pinged >= p->heard && w.now - p->pinged >= w.config.pong_ms;
    if (said && e->kind == CLOSE && e->end <= p->read) {
        end_peer(p, e->code, (const char *)e->data, e->len, 1);
    } else if (said && e->kind == BAD && w.last_read == p->sfd && !p->lost) {
        end_fault(p, e->code, (const char *)e->data);
        if (w.ending && p->read < p->said) p->other = 1001; /* perhaps it was not bad enough yet */
    } else if (p->lost) {
        end_peer(p, 1006, "", 0, 0);
        p->hard = p->lost == 2;
    } else if (w.ending) {
        end_peer(p, 1001, "", 0, 1);
        if (silent || p->gone) p->other = 1006;
        w.drain_closed += !p->other;
    } else {
        EXPECT(silent || p->gone, "peer %d was ended without a reason", index_of(p));
        end_peer(p, 1006, "", 0, 0);
        p->hard = 1;
    }
}

/* While a turn reads, nothing is sent: what is queued without a call is a ping, or what waited. */
static void find_queued(peer *p) {
    size_t before = p->counted + (size_t)(p->total - p->looked), queued = azc_backlog(p->conn);
    if (w.phase != READS || queued == before) return;
    if (queued != before + 2) {
        EXPECT(p->late_count > 0 && p->counted <= w.config.max_backlog / 2,
               "peer %d has %lu bytes queued, not %lu", index_of(p), (unsigned long)queued,
               (unsigned long)before);
        late_append(p);
        return;
    }
    EXPECT(w.config.ping_ms > 0 && w.now - p->heard >= w.config.ping_ms,
           "peer %d is pinged too soon", index_of(p));
    append(p, PING, "", 0);
    p->pinged = w.now;
}

/* Compare the server with the model, and take over what happened without a callback. */
static void agree(void) {
    w.tick++;
    for (peer *p = peers; p < peers + PEERS; p++) {
        if (p->state != OPEN) continue;
        if (azc_find(w.server, p->id) == NULL) {
            find_end(p);
            continue;
        }
        EXPECT(!p->lost, "peer %d is open after its end", index_of(p));
        find_queued(p);
        look(p);
    }
}

/* The timers of this turn have run. */
static void after_timers(void) {
    agree();
    w.phase = AFTER;
    EXPECT(rate_due(w.now + 1, 0) == NULL, "a period of azc_send did not end");
    for (task *t = w.tasks; t < w.tasks + TASKS; t++)
        EXPECT(!t->used || t->due > w.now, "a timer due at %lld did not run", (long long)t->due);
}

enum { CALLBACK, NEWS, ON_ERROR, SETTLING };

/* The server calls something of ours. */
static void enter(int what) {
    EXPECT(!w.calling, "a callback runs inside a call");
    EXPECT(what == ON_ERROR || w.error_due == AZC_OK, "on_error was not called");
    if (what != NEWS && what != ON_ERROR && w.news_due) news_check();
    if (what == SETTLING && w.phase == READS) after_timers();
    agree();
}

/* A callback returns, now and then with an error. */
static int leave(peer *p) {
    static const char words[] = "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\"}";
    int result = chance(10) ? AZC_OK : AZC_ERR_APP;
    w.news_due = 1;
    if (result == AZC_OK || p->state != OPEN) return result;
    if (traits[p->channel].errors) w.error_due = result, w.error_peer = p;
    else send_to(p, TEXT, words, sizeof words - 1, 0);
    return result;
}

/* ---- Hooks ----------------------------------------------------------------------------------- */

static int hook_clock(clockid_t clock, struct timespec *t) {
    (void)clock;
    t->tv_sec = (time_t)(w.now / 1000), t->tv_nsec = (long)(w.now % 1000) * 1000000;
    return 0;
}

/* A turn waits. Now and then that is interrupted: returns 0. */
static int wait_begins(void) {
    if (w.phase == READS) return 1; /* azc_poll_end asks epoll again */
    enter(SETTLING);
    for (peer *p = peers; p < peers + PEERS; p++)
        EXPECT(p->state != ENDED, "on_close of peer %d did not come in its turn", index_of(p));
    w.phase = READS, w.turn = w.now, w.last_read = -1;
    if (w.ending && w.end == INT64_MAX && w.now >= w.drain_from + w.drain_ms)
        w.end = w.now + w.config.close_ms;
    errno = EINTR;
    return chance(200) > 0;
}

#ifdef AZCHAN_USE_EPOLL
static int hook_epoll_wait(int fd, struct epoll_event *events, int most, int timeout) {
    EXPECT(timeout == 0, "azc_poll(server, 0) waits");
    return wait_begins() ? epoll_wait(fd, events, most, 0) : -1;
}
#else
static int hook_poll(struct pollfd *fds, nfds_t count, int timeout) {
    EXPECT(timeout == 0, "azc_poll(server, 0) waits");
    return wait_begins() ? poll(fds, count, 0) : -1;
}
#endif

/* Most sockets get a small buffer: a peer that does not read is soon a slow one. */
static int hook_accept(int fd, struct sockaddr *address, socklen_t *len) {
    int size = chance(4) ? 4608 : 65536, accepted = accept(fd, address, len);
    EXPECT(accepted < FDS, "too many descriptors");
    if (accepted >= 0) setsockopt(accepted, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return accepted;
}

/* With flags SOCK_NONBLOCK and SOCK_CLOEXEC, which change nothing here. */
__attribute__((unused))
static int hook_accept4(int fd, struct sockaddr *address, socklen_t *len, int flags) {
    (void)flags;
    return hook_accept(fd, address, len);
}

static ssize_t hook_recv(int fd, void *to, size_t len, int flags) {
    enter(CALLBACK);
    peer *p = w.by_fd[fd];
    ssize_t n = recv(fd, to, chance(3) ? len : 1 + chance((unsigned)len), flags);
    w.last_read = fd;
    if (n > 0 && p == NULL) w.early[fd] += (uint64_t)n;
    if (p == NULL) return n;
    if (n > 0) p->read += (uint64_t)n;
    else if (n == 0) p->lost = 1;
    else if (errno != EAGAIN && errno != EINTR) p->lost = 2;
    return n;
}

/* A flush. A large message may also be sent in its call: if that fails, the flush tells why. */
static ssize_t hook_sendmsg(int fd, const struct msghdr *message, int flags) {
    struct msghdr some = *message;
    if (!w.calling) enter(SETTLING);
    peer *p = w.by_fd[fd];
    int open = p != NULL && p->state == OPEN && !w.calling;
    if (open && p->counted > w.config.max_backlog / 2) p->owes_drain = 1;
    struct iovec *first = some.msg_iov;
    if (chance(4) == 0) some.msg_iovlen = 1;
    if (chance(8) == 0) some.msg_iovlen = 1, first->iov_len = 1 + chance((unsigned)first->iov_len);
    ssize_t n = sendmsg(fd, &some, flags);
    if (n > 0 && p != NULL) p->taken += (uint64_t)n;
    if (n < 0 && errno != EAGAIN && open && !p->lost) p->lost = 2;
    return n;
}

static ssize_t hook_send(int fd, const void *from, size_t len, int flags) {
    struct iovec iov = {(void *)(uintptr_t)from, len};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &iov, message.msg_iovlen = 1;
    return hook_sendmsg(fd, &message, flags);
}

static int hook_close(int fd) {
    peer *p = fd < FDS ? w.by_fd[fd] : NULL;
    if (fd < FDS) w.by_fd[fd] = NULL, w.early[fd] = 0;
    if (p == NULL) return close(fd);
    EXPECT(p->state == REPORTED, "peer %d is closed before on_close", index_of(p));
    EXPECT(p->taken == p->total || p->hard || p->gone || w.ending == DESTROY ||
           w.now - p->ended >= w.config.close_ms,
           "peer %d is closed with %lu bytes unsent", index_of(p), (unsigned long)unsent(p));
    if (p->taken < p->total) p->hard = 1;
    p->sfd = -1;
    return close(fd);
}

/* Memory that never stays where it was, and is counted. */
static void *counted_alloc(void *user, void *ptr, size_t old_size, size_t new_size) {
    void *fresh = new_size > 0 ? malloc(new_size) : NULL;
    (void)user;
    if (fresh != NULL && ptr != NULL) memcpy(fresh, ptr, old_size < new_size ? old_size : new_size);
    free(ptr);
    w.held += new_size, w.held -= old_size;
    return fresh;
}

/* ---- Calls: each is predicted, made, and compared -------------------------------------------- */

static int called(int result) { return w.calling--, result; }
#define CALL(x) (w.calling++, called(x))

/* Compare a call's result with the model's, which has followed it. */
static void expect_result(int got, int want, const char *what) {
    EXPECT(got == want, "%s returned %d, not %d", what, got, want);
    EXPECT(!w.shown, "%s: on_publish was called", what);
    look_all();
}

static size_t shown(size_t len) { return chance(4) ? len : AZC_NUL; }

/* Some open peer, or NULL. */
static peer *pick(void) {
    for (unsigned i = 0, from = chance(PEERS); i < PEERS; i++)
        if (peers[(from + i) % PEERS].state == OPEN) return &peers[(from + i) % PEERS];
    return NULL;
}

static target some_target(int users) {
    target t = {(int)chance(CHANNELS), ALL, 0};
    unsigned kind = chance(users ? 6 : 5);
    if (kind > 0) t.kind = kind < 5 ? ROOM : USER, t.index = (int)chance(kind < 5 ? ROOMS : USERS);
    return t;
}

/* azc_send: any target, any kind. */
static void act_send(void) {
    azc_message m;
    azc_writer writer;
    char json[64];
    size_t queued = 99, want = 0;
    target t = some_target(1);
    peer *to = chance(5) ? NULL : pick(), *except = chance(4) ? NULL : pick();
    int plain = w.memory != NULL, opcode = TEXT, result = AZC_OK;
    memset(&m, 0, sizeof m);
    if (to != NULL) t.channel = to->channel;
    if (to != NULL || (except != NULL && except->channel != t.channel)) except = NULL;
    if (chance(plain ? 20 : 2) == 0) m.key = 1 + chance(KEYS);
    if (!w.unrated && to == NULL && chance(plain ? 20 : 2) == 0)
        m.period_ms = 2 + 2 * (int)chance(20), m.batch = m.key == 0;
    if (m.batch) except = NULL;
    m.len = compose(m.batch, m.batch ? 800 : m.period_ms ? 10000 : 20000);
    m.local = chance(4) == 0, m.queued = chance(2) ? &queued : NULL;
    m.except = except != NULL ? except->conn : NULL, m.to = to != NULL ? to->conn : NULL;
    if (to == NULL && t.kind == ROOM) m.room = room_names[t.index];
    if (to == NULL && t.kind == USER) m.user = user_names[t.index];
    if (m.key == 0 && chance(5) == 0) {
        m.len = (size_t)sprintf(text, "{\"n\":%llu}", ++run.serial);
        writer = azc_put_begin(json, sizeof json);
        azc_put_uint(&writer, "n", run.serial);
        m.json = &writer;
    } else if (!m.batch && chance(4) == 0) {
        m.binary = text, opcode = BINARY;
    } else {
        m.text = text;
    }
    size_t len = m.len;
    int held = m.period_ms > 0;
    if (m.text != NULL) m.len = shown(len);
    trace("azc_send: channel %d, kind %d of %d, to %d, key %d, period %d, %lu bytes", t.channel,
          t.kind, t.index, to ? index_of(to) : -1, (int)m.key, m.period_ms, (unsigned long)len);
    int got = CALL(azc_send(w.channels[t.channel], &m));
    if (plain && (m.key != 0 || held)) result = AZC_ERR_STATE;
    else if (to != NULL) result = send_to(to, opcode, text, len, m.key), want = result == AZC_OK;
    else if (held) want = rate_take(t, &m, opcode, text, len);
    else want = broadcast(t, opcode, text, len, m.key, except);
    if (result == AZC_OK && to == NULL && !held && !m.local) publish(t, opcode, text, len);
    expect_result(got, result, "azc_send");
    EXPECT(m.queued == NULL || queued == want, "azc_send queued for %lu, not %lu",
           (unsigned long)queued, (unsigned long)want);
}

static void act_broadcast(void) {
    target t = some_target(0);
    const peer *except = chance(4) ? NULL : pick();
    azc_channel *channel = w.channels[t.channel];
    const char *room = t.kind == ROOM ? room_names[t.index] : NULL;
    size_t len = compose(0, 20000);
    int kind = (int)chance(4), opcode = kind == 1 ? BINARY : TEXT, got;
    if (kind >= 2 || (except != NULL && except->channel != t.channel)) except = NULL;
    if (kind == 3) t.kind = USER, t.index = (int)chance(USERS);
    trace("broadcast %d: channel %d, kind %d of %d, %lu bytes", kind, t.channel, t.kind, t.index,
          (unsigned long)len);
    const azc_conn *but = except != NULL ? except->conn : NULL;
    if (kind == 0) got = CALL(azc_broadcast(channel, room, text, shown(len), but));
    else if (kind == 1) got = CALL(azc_broadcast_binary(channel, room, text, len, but));
    else if (kind == 2) got = CALL(azc_deliver(channel, room, text, len, 0));
    else got = CALL(azc_send_user(channel, user_names[t.index], text, len));
    broadcast(t, opcode, text, len, 0, except);
    if (kind < 2) publish(t, opcode, text, len);
    expect_result(got, AZC_OK, "a broadcast");
}

/* The sends of one connection; in its on_close too. */
static void act_own(peer *p) {
    size_t len = compose(0, 20000);
    target t = {p->channel, ALL, 0};
    int kind = (int)chance(5), got, want = AZC_OK;
    trace("send %d of peer %d, %lu bytes", kind, index_of(p), (unsigned long)len);
    if (kind == 0) got = CALL(azc_send_text(p->conn, text, shown(len)));
    else if (kind == 1) got = CALL(azc_send_binary(p->conn, text, len));
    else if (kind == 2) got = CALL(azc_send_all(p->conn, text, len));
    else if (kind == 3) got = CALL(azc_send_others(p->conn, text, len));
    else got = CALL(azc_send_room(p->conn, text, shown(len)));
    if (kind < 2) want = send_to(p, kind == 0 ? TEXT : BINARY, text, len, 0);
    if (kind == 4 && p->room_count > 0) t.kind = ROOM, t.index = p->rooms[0];
    if (kind == 4 && p->room_count == 0) want = AZC_ERR_STATE;
    if (kind >= 2 && want == AZC_OK) {
        broadcast(t, TEXT, text, len, 0, kind == 2 ? NULL : p);
        publish(t, TEXT, text, len);
    }
    expect_result(got, want, "a send");
}

static void act_join(peer *p) {
    int room = (int)chance(ROOMS), got = CALL(azc_join(p->conn, room_names[room]));
    trace("peer %d joins %d: %d", index_of(p), room, got);
    expect_result(got, join(p, room, got), "azc_join");
}

static void act_leave(peer *p) {
    int room = (int)chance(ROOMS), all = chance(4) == 0;
    trace("peer %d leaves %s", index_of(p), all ? "all" : room_names[room]);
    int got = all ? CALL(azc_leave_all(p->conn)) : CALL(azc_leave(p->conn, room_names[room]));
    for (int i = p->room_count; p->state == OPEN && i-- > 0;)
        if (all || p->rooms[i] == room) leave_room(p, i);
    expect_result(got, AZC_OK, "azc_leave");
}

static void act_user(peer *p) {
    int user = (int)chance(USERS), got = CALL(azc_set_user(p->conn, user_names[user]));
    int want = p->state != OPEN ? AZC_ERR_CLOSED
               : p->user >= 0 || p->room_count > 0 ? AZC_ERR_STATE : AZC_OK;
    if (want == AZC_OK) p->user = user;
    trace("peer %d is user %d: %d", index_of(p), user, want);
    expect_result(got, want, "azc_set_user");
}

static void act_close(peer *p) {
    static const int codes[] = {0, 1000, 1001, 1011, 3000, 4999};
    int code = codes[chance(6)], want = p->state == OPEN ? AZC_OK : AZC_ERR_CLOSED;
    char reason[32] = "";
    if (code != 0 && chance(2)) sprintf(reason, "because %llu", ++run.serial);
    int got = CALL(azc_close(p->conn, code, *reason ? reason : NULL));
    if (want == AZC_OK) end_peer(p, code ? code : 1005, reason, strlen(reason), 1);
    expect_result(got, want, "azc_close");
}

static void act_ping(peer *p) {
    size_t len = chance(3) ? compose(0, 0) : 0;
    int want = p->state != OPEN ? AZC_ERR_CLOSED : fits(p, 0) ? AZC_OK : AZC_ERR_FULL;
    trace("ping to peer %d", index_of(p));
    int got = CALL(azc_ping(p->conn, text, len));
    if (want == AZC_OK) append(p, PING, text, len);
    expect_result(got, want, "azc_ping");
}

static void act_history(void) {
    target t = {(int)chance(CHANNELS), ROOM, (int)chance(ROOMS)};
    size_t largest = w.config.max_backlog / 2 - 1;
    size_t most = chance(9), bytes = 2 + chance(chance(2) ? 200 : (unsigned)largest);
    int want = w.memory != NULL ? AZC_ERR_STATE : AZC_OK, got;
    trace("history of %d in channel %d: %lu, %lu", t.index, t.channel, (unsigned long)most,
          (unsigned long)bytes);
    if (want == AZC_OK) history_set(&w.histories[t.channel][t.index], most, bytes);
    got = CALL(azc_set_history(w.channels[t.channel], room_names[t.index], most, bytes));
    expect_result(got, want, "azc_set_history");
}

/* ---- Timers and posts ------------------------------------------------------------------------ */

static void acts(peer *self, unsigned most);

static void task_ran(azc_server *server, void *arg) {
    task *t = (task *)arg;
    EXPECT(server == w.server && t->used && t->due <= w.now && w.phase == READS,
           "a timer runs too soon, too often or outside its part of the turn");
    rates_run(t->due, t->order);
    enter(CALLBACK);
    for (task *o = w.tasks; o < w.tasks + TASKS; o++)
        EXPECT(!o->used || o->due > t->due || (o->due == t->due && o->order >= t->order),
               "a timer runs before an older one");
    trace("timer due at %lld", (long long)t->due);
    t->used = t->every > 0;
    if (t->used) t->due += ((w.now - t->due) / t->every + 1) * t->every, t->order = ++w.tick;
    if (!t->sentinel) acts(NULL, 3);
    w.news_due = 1;
}

/* The timer behind a rate's own. */
static void rate_seen(azc_server *server, void *arg) {
    rate *r = (rate *)arg;
    EXPECT(server == w.server && w.phase == READS && r->seen_due <= w.now, "a timer runs too soon");
    rates_run(r->seen_due, r->seen_order);
    enter(CALLBACK);
    if (r->on) rate_watch(r);
    w.news_due = 1;
}

/* A timer in a free place; NULL if there is none. */
static task *task_add(int from, int to, int ms, int every) {
    task *t = w.tasks + from;
    while (t < w.tasks + to && t->used) t++;
    if (t == w.tasks + to) return NULL;
    t->id = every ? azc_every(w.server, ms, task_ran, t) : azc_after(w.server, ms, task_ran, t);
    EXPECT(t->id != 0, "azc_after returned 0");
    t->used = 1, t->every = every ? ms : 0, t->sentinel = 0, t->order = ++w.tick;
    t->due = w.now + ms > w.turn ? w.now + ms : w.turn + 1;
    return t;
}

static void act_timer(void) {
    int every = (int)chance(2), ms = every + (int)chance(chance(4) ? 30 : 3000);
    task *t = &w.tasks[chance(TASKS - 4)]; /* the last are for sentinels */
    if (chance(2)) {
        trace("a timer in %d", ms);
        task_add(0, TASKS - 4, ms, every);
        return;
    }
    trace("cancel a timer due at %lld", (long long)t->due);
    expect_result(azc_cancel(w.server, t->id), t->used ? AZC_OK : AZC_ERR_ARGUMENT, "azc_cancel");
    t->used = 0;
}

static void post_ran(azc_server *server, void *arg) {
    enter(CALLBACK);
    EXPECT(server == w.server && (uintptr_t)arg == ++w.posts_run && w.posts_run <= w.posted,
           "a post runs in the wrong order, or twice");
    acts(NULL, 2);
    w.news_due = 1;
}

/* One post, or so many that the queue is full. */
static void act_post(void) {
    uintptr_t most = AZCHAN_SMALL ? 64 : 256;
    for (unsigned n = chance(40) || w.ending ? 1 : 300; n > 0; n--) {
        int want = w.ending == DESTROY ? AZC_ERR_STATE
                   : w.posted - w.posts_run == most ? AZC_ERR_FULL : AZC_OK;
        expect_result(CALL(azc_post(w.server, post_ran, (void *)(w.posted + 1))), want, "azc_post");
        w.posted += want == AZC_OK;
    }
}

/* ---- What the program may ask ---------------------------------------------------------------- */

static peer *peer_of(azc_conn *conn) {
    peer *p = &peers[*(int *)azc_data(conn)];
    EXPECT(p->conn == conn, "a connection that the model does not know");
    return p;
}

/* Walk a room or a channel. In the loop anything may happen. */
static void act_walk(void) {
    target t = some_target(0);
    unsigned long from = ++w.tick;
    const char *room = t.kind == ROOM ? room_names[t.index] : NULL;
    int before[PEERS], visited[PEERS] = {0};
    for (int i = 0; i < PEERS; i++) before[i] = is_target(&peers[i], t);
    EXPECT(azc_count(w.channels[t.channel], room) == (size_t)count_of(t.channel, t.kind, t.index),
           "azc_count is wrong");
    for (azc_cursor c = azc_members(w.channels[t.channel], room); azc_cursor_next(&c);) {
        peer *p = peer_of(c.conn);
        EXPECT(is_target(p, t) && !visited[index_of(p)]++, "azc_members: peer %d", index_of(p));
        if (w.depth < 2 && chance(3) == 0) acts(p, 2);
    }
    for (int i = 0; i < PEERS; i++)
        EXPECT(!before[i] || visited[i] || !is_target(&peers[i], t) || peers[i].left >= from,
               "azc_members does not show peer %d", i);
}

static void act_look(peer *p) {
    target t = some_target(0);
    int users[USERS] = {0}, rooms[ROOMS] = {0};
    const char *room = t.kind == ROOM ? room_names[t.index] : NULL;
    for (azc_cursor c = azc_users(w.channels[t.channel], room); azc_cursor_next(&c);) {
        const peer *of = peer_of(c.conn);
        EXPECT(is_target(of, t) && of->user == number(c.user), "azc_users: peer %d", index_of(of));
        users[of->user]++;
    }
    for (int u = 0; u < USERS; u++) {
        int there = t.kind == ROOM ? seated(t.channel, t.index, u) : count_of(t.channel, USER, u);
        EXPECT(users[u] == (there > 0), "azc_users shows user %d %d times", u, users[u]);
    }
    if (p == NULL) return;
    for (azc_cursor c = azc_rooms(p->conn); azc_cursor_next(&c);) rooms[number(c.room)]++;
    for (int r = 0; r < ROOMS; r++) EXPECT(rooms[r] == in_room(p, r), "azc_rooms is wrong");
    EXPECT(number(azc_user(p->conn)) == p->user, "azc_user is wrong");
    expect_result(CALL(azc_send_text(p->conn, "\xFF", 1)),
                  p->state == OPEN ? AZC_ERR_UTF8 : AZC_ERR_CLOSED, "a send of bad UTF-8");
}

/* One call. self: the connection of the callback that makes it, or NULL. */
static void act(peer *self) {
    peer *p = self != NULL && chance(2) ? self : pick();
    run.step++, w.tick++, w.depth++;
    if (p == NULL) p = self;
    switch (p == NULL ? 12 + chance(12) : chance(24)) {
    case 0: case 1: case 2: case 3: act_own(p); break;
    case 4: case 5: case 6: act_join(p); break;
    case 7: act_leave(p); break;
    case 8: act_user(p); break;
    case 9: act_ping(p); break;
    case 10: if (chance(16) == 0) act_close(p); break;
    case 11: case 12: act_look(p); break;
    case 13: act_timer(); break;
    case 14: act_post(); break;
    case 15: if (chance(4) == 0) act_history(); break;
    case 16: act_walk(); break;
    case 17: case 18: case 19: act_broadcast(); break;
    default: act_send(); break;
    }
    w.depth--;
}

static void acts(peer *self, unsigned most) {
    for (unsigned n = chance(most + 1); n > 0; n--) act(self);
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

static int on_upgrade(azc_conn *conn) {
    const char *user = azc_query(conn, "u");
    peer *p = &peers[atoi(azc_query(conn, "p"))];
    enter(CALLBACK);
    int here = p->state == CONNECTING && p->generation == atoi(azc_query(conn, "g"));
    if (here && p->refused) p->ended = w.now;
    if (!here || p->refused) return 403;
    *(int *)azc_data(conn) = index_of(p);
    p->user = number(user);
    if (user != NULL) expect_result(azc_set_user(conn, user), AZC_OK, "azc_set_user");
    expect_result(azc_send_text(conn, "x", 1), AZC_ERR_STATE, "azc_send_text to a request");
    p->conn = conn, p->id = azc_id(conn), p->sfd = w.last_read;
    p->read = w.early[p->sfd], p->heard = w.now;
    w.by_fd[p->sfd] = p;
    return AZC_OK;
}

static int on_connect(azc_conn *conn) {
    peer *p = peer_of(conn);
    enter(CALLBACK);
    EXPECT(p->state == CONNECTING, "on_connect of peer %d comes again", index_of(p));
    p->state = OPEN, p->counted = azc_backlog(conn);
    p->start = p->total = p->base = p->walked = p->looked = p->counted;
    trace("peer %d is open in channel %d", index_of(p), p->channel);
    run.peers++;
    acts(p, 3);
    return leave(p);
}

/* A whole message, a ping or a pong: it must be what the peer said next. */
static int heard(azc_conn *conn, int kind, const void *data, size_t len) {
    peer *p = peer_of(conn);
    const event *e = p->events;
    if (kind == PING && p->state == OPEN) append(p, PONG, data, len);
    enter(CALLBACK);
    EXPECT(p->state == OPEN, "peer %d: a callback after its end", index_of(p));
    EXPECT(p->event_count > 0 && e->kind == kind && e->end <= p->read && e->len == len &&
           memcmp(e->data, data, len) == 0 && ((const char *)data)[len] == 0,
           "peer %d did not say this next: opcode %d, %lu bytes", index_of(p), kind,
           (unsigned long)len);
    trace("peer %d said opcode %d, %lu bytes", index_of(p), kind, (unsigned long)len);
    if (!e->inside) p->heard = w.now;
    event_drop(p, 0);
    acts(p, 3);
    return leave(p);
}

static int on_message(azc_conn *c, const char *data, size_t n) { return heard(c, TEXT, data, n); }
static int on_binary(azc_conn *c, const void *data, size_t n) { return heard(c, BINARY, data, n); }
static int on_ping(azc_conn *c, const void *data, size_t n) { return heard(c, PING, data, n); }
static int on_pong(azc_conn *c, const void *data, size_t n) { return heard(c, PONG, data, n); }

static int on_part(azc_conn *conn, const void *data, size_t len, int flags) {
    peer *p = peer_of(conn);
    int i = 0;
    enter(CALLBACK);
    while (i < p->event_count && p->events[i].inside) i++;
    const event *e = &p->events[i];
    EXPECT(p->state == OPEN && i < p->event_count && (e->kind == TEXT || e->kind == BINARY) &&
           e->start < p->read && p->part_at + len <= e->len &&
           memcmp(e->data + p->part_at, data, len) == 0, "peer %d: a wrong part", index_of(p));
    int first = p->part_at == 0 ? AZC_PART_FIRST : 0, kind = e->kind == TEXT ? AZC_PART_TEXT : 0;
    int last = flags & AZC_PART_LAST;
    p->part_at += len;
    EXPECT(flags == (first | last | kind) && (len > 0 || last) &&
           (!last || (p->part_at == e->len && i == 0 && e->end <= p->read)),
           "peer %d: part flags %d", index_of(p), flags);
    if (last) event_drop(p, 0), p->part_at = 0, p->heard = w.now;
    acts(p, 2);
    return leave(p);
}

static int on_drain(azc_conn *conn) {
    peer *p = peer_of(conn);
    enter(CALLBACK);
    EXPECT(p->state == OPEN && p->may_drain && p->counted <= w.config.max_backlog / 2 &&
           p->late_count == 0, "on_drain of peer %d with %lu bytes queued, %d waiting", index_of(p),
           (unsigned long)p->counted, p->late_count);
    p->may_drain = p->owes_drain = 0;
    acts(p, 3);
    return leave(p);
}

/* The connection ended for the other of two reasons that the model could not tell apart. */
static void take_other(peer *p) {
    unsigned char *at = p->stream + (p->total - p->base) - p->words - 2;
    if (p->other == 1006) {
        p->hard = 1;
    } else {
        at[-1] = 2, at[0] = (unsigned char)(p->other >> 8), at[1] = (unsigned char)p->other;
        p->total -= (uint64_t)p->words, p->words = 0;
    }
}

static void on_close(azc_conn *conn, int code, const char *reason) {
    peer *p = peer_of(conn);
    enter(SETTLING);
    EXPECT(p->state == ENDED, "on_close of peer %d comes too soon or again", index_of(p));
    EXPECT((code == p->code && strcmp(reason, p->reason) == 0) || code == p->other,
           "on_close of peer %d: %d \"%s\", not %d \"%s\"", index_of(p), code, reason, p->code,
           p->reason);
    if (code != p->code) take_other(p);
    act_look(p);
    acts(p, 2);
    p->state = REPORTED, p->conn = NULL, p->room_count = 0, p->user = -1;
    while (p->event_count > 0) event_drop(p, 0);
    w.news_due = 1;
}

static void on_error(azc_conn *conn, int error) {
    peer *p = peer_of(conn);
    enter(ON_ERROR);
    EXPECT(error == w.error_due && p == w.error_peer && p->state == OPEN,
           "on_error of peer %d: %d, not %d", index_of(p), error, w.error_due);
    w.error_due = AZC_OK;
    acts(p, 2);
}

static int channel_number(const azc_channel *channel) {
    int i = 0;
    while (w.channels[i] != channel) i++;
    return i;
}

static void on_presence(azc_channel *channel, const char *room, const char *user, int present) {
    int c = channel_number(channel), r = number(room), u = number(user);
    enter(NEWS);
    trace("presence %d of user %d in room %d of channel %d", present, u, r, c);
    news_reported(&w.seats[c][r][u], seated(c, r, u) > 0, present);
    if (chance(5) == 0) acts(NULL, 2);
}

static void on_room(azc_channel *channel, const char *room, int present) {
    int c = channel_number(channel), r = number(room);
    enter(NEWS);
    trace("presence %d in room %d of channel %d", present, r, c);
    news_reported(&w.rooms[c][r], count_of(c, ROOM, r) > 0, present);
    if (chance(5) == 0) acts(NULL, 2);
}

/* In a call of ours, or, while timers run, for a message that was held. */
static void on_publish(azc_channel *channel, const char *room, const void *data, size_t len,
                       int binary) {
    EXPECT((w.calling || w.phase == READS) && !w.shown, "on_publish outside a call, or twice");
    w.publish.channel = channel_number(channel), w.publish.room = number(room);
    w.publish.opcode = binary ? BINARY : TEXT;
    w.publish.len = len, w.publish.hash = hash_of(data, len);
    w.shown = 1;
    for (rate *r; !w.calling && w.shown; rate_end(r))
        EXPECT((r = rate_due(w.now + 1, 0)) != NULL, "on_publish comes, but nothing was held");
}

/* ---- Turns and time -------------------------------------------------------------------------- */

/* All periods are even, and the clock moves by even amounts. So a timer that is set just before it
 * moves, for the next millisecond, runs before each rate: pings that it finds came before them. */
static void advance(int ms) {
    task *t = w.sentinel || w.ending ? NULL : task_add(TASKS - 4, TASKS, 1, 0);
    if (t != NULL) t->sentinel = w.sentinel = 1;
    w.now += ms;
}

/* azc_shutdown closes no more peers than its share of the time. */
static void check_shutdown(void) {
    int64_t ms = w.now - w.drain_from;
    if (w.ending == SHUTDOWN && ms < w.drain_ms)
        EXPECT(w.drain_closed <= (ms * w.drain_count + w.drain_ms - 1) / w.drain_ms,
               "azc_shutdown closed %d peers after %d ms", w.drain_closed, (int)ms);
}

static void turn(void) {
    struct pollfd fds[64];
    int wait = 5;
    uint64_t open = 0;
    run.step++;
    w.news_due = 1, w.phase = SETTLE, w.sentinel = 0;
    if (chance(4)) {
        w.result = azc_poll(w.server, 0);
    } else {
        size_t n = azc_poll_begin(w.server, fds, 64, &wait);
        if (poll(fds, (nfds_t)n, 0) < 0) n = 0;
        wait_begins();
        w.result = azc_poll_end(w.server, fds, n);
    }
    if (w.phase == READS) after_timers();
    enter(CALLBACK);
    news_check();
    for (peer *p = peers; p < peers + PEERS; p++) {
        EXPECT(p->state != ENDED, "on_close of peer %d did not come in its turn", index_of(p));
        open += p->state == OPEN;
        p->turns_read = p->state == OPEN && p->got == p->total ? p->turns_read + 1 : 0;
        EXPECT(!p->owes_drain || p->turns_read < 20 || !w.unix_socket, /* TCP may take real time */
               "peer %d waits for on_drain", index_of(p));
    }
    EXPECT(w.result == 1 || (w.result == 0 && open == 0), "azc_poll returned %d", w.result);
    EXPECT(azc_stats(w.server)->open == open, "azc_stats: a wrong number is open");
    w.phase = OUTSIDE;
    check_shutdown();
}

/* What is not yet as it must be when all have read all, or NULL. */
static const char *unsettled(const peer *p) {
    if (w.posts_run < w.posted) return "waits for posts";
    if (p->fd < 0 || p->state == FREE || p->state == REPORTED) return NULL;
    if (p->state == CONNECTING) return p->gone ? NULL : "waits for its answer";
    if (p->gone) return "is not closed after its end";
    if (p->out_len > 0) return "could not send all";
    if (p->event_count > 0) return "said what was not delivered";
    if (p->got < p->total) return "waits for bytes";
    if (p->late_count > 0) return "waits for a last value";
    return p->owes_drain ? "waits for on_drain" : NULL;
}

/* All peers write and read until nothing is under way. */
static void quiesce(void) {
    const char *why = "";
    for (int round = 0; why != NULL && w.result > 0; round++) {
        size_t moved = 0;
        for (peer *p = peers; p < peers + PEERS; p++) {
            moved += peer_write(p, 1);
            moved += peer_read(p, 1 << 16);
        }
        turn();
        why = NULL;
        for (peer *p = peers; p < peers + PEERS && why == NULL; p++) {
            why = unsettled(p);
            EXPECT(why == NULL || round < 5000, "peer %d %s", index_of(p), why);
        }
        if (moved == 0 && round > 4) advance(w.ending ? 1 : 2);
        if (moved == 0 && round > 200) poll(NULL, 0, 1); /* TCP may take real time */
    }
}

/* ---- Episodes -------------------------------------------------------------------------------- */

static void channel_add(int i) {
    char path[4] = {'/', 'c', (char)('0' + i), 0};
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = path, d.data_size = sizeof(int);
    d.when_full = traits[i].drops ? AZC_FULL_DROP : AZC_FULL_CLOSE;
    d.on_upgrade = on_upgrade, d.on_connect = on_connect, d.on_drain = on_drain;
    d.on_message = on_message, d.on_binary = on_binary, d.on_ping = on_ping, d.on_pong = on_pong;
    d.on_close = on_close, d.on_error = traits[i].errors ? on_error : NULL;
    w.channels[i] = azc_add_channel(w.server, &d);
    if (traits[i].parts) azc_on_part(w.channels[i], on_part);
    if (!traits[i].presence) return;
    azc_on_presence(w.channels[i], on_presence);
    azc_on_room(w.channels[i], on_room);
    azc_on_publish(w.channels[i], on_publish);
}

static void server_make(void) {
    static const int64_t clocks[] = {1000000, 0x7FFFF000, 0xFFFFF000}; /* moments of 32 bits wrap */
    static char host[80];
    azc_config *c = &w.config;
    memset(&w, 0, sizeof w);
    w.result = 1, w.now = w.turn = clocks[chance(3)], w.unix_socket = run.seed % 2 == 0;
    sprintf(run.path, "/tmp/azchan-model-%ld", (long)getpid());
    sprintf(host, w.unix_socket ? "unix:%s" : "127.0.0.1", run.path);
    c->host = host, c->alloc = counted_alloc;
    c->max_connections = 3 * PEERS, c->max_request = 1024;
    c->max_message = 1000 + chance(2500), c->read_buffer = 512 << chance(4);
    c->max_backlog = 8000 + chance(2) * 16384 + chance(3000);
    c->handshake_ms = 5000, c->pong_ms = 1000, c->close_ms = 300;
    c->ping_ms = chance(2) ? 2000 : -1;
    if (chance(3) == 0) {
        c->max_rooms = 200, c->max_memberships = 200, c->max_data = sizeof(int);
        c->max_timers = TASKS;
        size_t size = azc_memory_bound(c);
        w.memory = malloc(size);
        w.server = azc_create_in(w.memory, size, c);
    } else {
        w.server = azc_create(c);
    }
    for (int i = 0; i < CHANNELS; i++) channel_add(i);
    EXPECT(azc_listen(w.server) == AZC_OK, "azc_listen: %s", azc_error(w.server));
    trace("a server: memory %d, backlog %lu, ping %d", w.memory != NULL,
          (unsigned long)c->max_backlog, c->ping_ms);
    run.servers++;
}

static void step(void) {
    peer *p = &peers[chance(PEERS)];
    int did = 1;
    size_t most = chance(3) ? 65536 : 1 + chance(3000);
    switch (chance(32)) {
    case 0: case 1: case 2: case 3:
        if ((did = may_say(p))) say_message(p), peer_write(p, 0);
        break;
    case 4:
        if ((did = may_say(p))) say_control(p, chance(2) ? PING : PONG, text, compose(0, 0));
        break;
    case 5: case 6: did = peer_write(p, 0) > 0; break;
    case 7: case 8: case 9: case 10: did = !p->stalled && peer_read(p, most) > 0; break;
    case 11: p->stalled = p->stalled ? chance(4) > 0 : chance(4) == 0; break;
    case 12: did = peer_open(); break;
    case 13: if ((did = may_say(p) && chance(60) == 0)) say_close(p); break;
    case 14: if ((did = may_say(p) && chance(120) == 0)) say_bad(p); break;
    case 15: if ((did = chance(60) == 0)) peer_vanish(p); break;
    case 16: advance(2 * (int)chance(chance(30) ? 8 : 400)); break;
    case 17: if ((did = chance(60) == 0)) quiesce(); break;
    case 18: case 19: case 20: case 21: case 22: turn(); break;
    default: act(NULL); break;
    }
    run.step += (unsigned)did;
}

/* Stop the server, or shut it down, under load. */
static void server_stop(int how) {
    w.unrated = 1;
    quiesce();
    for (int i = 0; i < 3; i++) advance(3000), turn(); /* now no message is held */
    w.ending = how, w.end = INT64_MAX;
    if (how == STOP) {
        azc_stop(w.server);
    } else {
        w.drain_ms = 20 + (int)chance(300), w.drain_from = w.now;
        w.drain_count = (int)azc_stats(w.server)->open;
        expect_result(azc_shutdown(w.server, w.drain_ms), AZC_OK, "azc_shutdown");
    }
    for (int round = 0; w.result > 0; round++) {
        for (int i = 0; i < 5 && w.result > 0; i++) step();
        if (round % 8 == 0) quiesce();
        w.now++;
        if (w.result > 0) turn();
        EXPECT(w.result == 0 || w.now <= w.end, "the server has not ended in time");
    }
}

/* End the server in one of three ways, and let its peers read what is left. */
static void server_end(void) {
    int how = (int)chance(3);
    trace("the end: %d", how);
    if (how > 0) server_stop(how);
    w.ending = DESTROY, w.news_due = 1, w.phase = SETTLE;
    expect_result(azc_destroy(w.server), AZC_OK, "azc_destroy");
    EXPECT(w.held == 0, "azc_destroy left %lu bytes", (unsigned long)w.held);
    EXPECT(w.posts_run == w.posted, "azc_destroy left posts");
    for (peer *p = peers; p < peers + PEERS; p++) {
        EXPECT(p->state != OPEN && p->state != ENDED, "peer %d has had no on_close", index_of(p));
        if (p->state == CONNECTING) p->state = REPORTED;
        while (p->event_count > 0) event_drop(p, 0);
        while (p->fd >= 0) peer_read(p, 1 << 16);
    }
    news_check();
    for (int c = 0; c < CHANNELS; c++) {
        for (int r = 0; r < ROOMS; r++) history_set(&w.histories[c][r], 0, 2);
        for (int i = 0; i < (1 + ROOMS + USERS) * (KEYS + 2); i++)
            free(w.rates[c][i / (KEYS + 2)][i % (KEYS + 2)].data);
    }
    free(w.memory);
}

/* from: the step from which on to print. Returns at the end; a difference ends the program. */
static void run_model(unsigned long long seed, unsigned long long steps, unsigned long long from) {
    memset(&run, 0, sizeof run);
    run.seed = seed, run.steps = steps, run.from = from;
    run.random = (seed + 1) * 0x9E3779B97F4A7C15ull;
    pattern_make();
    for (int i = 0; i < PEERS; i++) peers[i].fd = peers[i].sfd = -1;
    while (run.step < steps) {
        server_make();
        for (unsigned long long end = run.step + 2000 + chance(20000); run.step < end;) step();
        server_end();
    }
    for (int i = 0; i < PEERS; i++) free(peers[i].stream);
    memset(peers, 0, sizeof peers);
}

int main(int argc, char **argv) {
    unsigned long long seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    unsigned long long steps = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    run_model(seed, steps, argc > 3 ? strtoull(argv[3], NULL, 10) : ~0ull);
    printf("model %llu %llu: as predicted: %ld servers, %ld peers, %ld frames, %ld replaced, "
           "%ld waited, %ld refused\n", seed, steps, run.servers, run.peers, run.frames,
           run.replaced, run.waited, run.refused);
    return 0;
}
