/* cluster.c: one chat on any number of processes and machines, joined by a Redis server.

       cc -I. examples/cluster.c -o cluster
       ./cluster 4001 & ./cluster 4002 &     # or twice on one port: ./cluster -s 4000
       ./cluster [-h host] [-p port] [-a password] [-n database] [-s] [[host:]port]

   Then open both pages: members of a room meet, whichever process they are connected to. Needs
   Redis 6 or newer, or another server that speaks its protocol RESP3. Read it top down: first the
   chat, then the link to Redis, a socket in the same loop that the chat reaches by two callbacks.
   The page is pages/cluster.html, which `make pages` turns into cluster_page.h.

   What it guarantees: a message reaches each member of a room at most once. Members in the same
   process always get it, even without Redis. Members in other processes get it through Redis
   publish/subscribe, in the order of each publisher. They miss messages sent while Redis is down or
   too slow. Nothing is resent. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "cluster_page.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_QUEUED = 1 << 20,  /* bytes queued for Redis; beyond that messages stay local */
    MAX_BEHIND = 64 << 20, /* bytes, then of subscriptions alone; beyond that the link is dropped */
    FIRST_PAUSE = 100, LAST_PAUSE = 10000, /* ms between attempts to connect */
    PING_MS = 2000, MAX_SILENT = 5 /* pings without a reply before the link is dropped */
};

static azc_server *server;
static azc_channel *chat;

/* ==== The chat ================================================================================ */

/* The room that keeps its last messages. What it keeps must be all that was said anywhere, because
   who returns takes it for that. So this process hears the room all the time, with members or
   without, and forgets what it kept when it may have missed something. */
static const char lobby[] = "lobby";

static void lobby_anew(void) {
    azc_set_history(chat, lobby, 0, 0);
    azc_set_history(chat, lobby, 100, 64 << 10); /* with a new epoch */
}

/* Peers send {"type":"join","room":"..."}, with "since" if they were there before; "leave"; or
   "message" with any "content". */
static int chat_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    char room[256], since[64];
    if (azc_json_read(&in, text, len) != AZC_OK) return AZC_ERR_JSON;
    azc_json type = azc_json_get(in, "type");
    int error = azc_json_string(azc_json_get(in, "room"), room, sizeof room);
    if (error < 0) return error;
    if (azc_json_equals(type, "join")) {
        azc_json_string(azc_json_get(in, "since"), since, sizeof since);
        return azc_join_since(conn, room, since);
    }
    if (azc_json_equals(type, "leave")) return azc_leave(conn, room);
    if (!azc_json_equals(type, "message")) return AZC_ERR_APP;

    static char buf[64 * 1024 + 6 * 256 + 64]; /* max_message, an escaped room name, the rest */
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "message");
    azc_put_string(&w, "room", room);
    azc_put_json(&w, "content", azc_json_get(in, "content"));
    return azc_broadcast_json(azc_channel_of(conn), room, &w, NULL);
}

/* ==== The link to Redis ======================================================================= */

static struct {
    struct sockaddr_storage address;
    socklen_t address_len;
    char id[17];       /* of this process, in front of each message that it publishes */
    char prefix[32];   /* of each Redis channel; the room's name follows */
    const char *password, *database;
    int fd, up;        /* fd -1: not connected; up: logged in */
    int pause, silent; /* ms until the next attempt; pings without a reply */
    unsigned long stayed; /* messages that went to local members only */
    int full;          /* 1: the last message stayed because of MAX_QUEUED */
    char *out;         /* the queue: bytes from sent to len, in size allocated */
    size_t sent, len, size;
    size_t got;        /* bytes in `in` */
    char in[256 * 1024]; /* holds at least one whole reply */
} redis = {.fd = -1, .pause = FIRST_PAUSE, .database = "0"};

static void redis_log(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("cluster: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
}

static void redis_connect(azc_server *s, void *arg);
static void redis_ready(azc_server *s, int fd, int events, void *user);

/* Drop the link, and the queue with it: Redis may have received a part of it. Try again after a
   pause, which doubles each time and differs between processes. */
static void redis_down(const char *why) {
    redis_log("redis is gone (%s): rooms go on locally; next attempt in %d ms", why, redis.pause);
    if (redis.fd >= 0) {
        azc_watch(server, redis.fd, 0, redis_ready, NULL);
        close(redis.fd);
    }
    redis.fd = -1;
    if (redis.up) lobby_anew();
    redis.up = 0;
    redis.sent = redis.len = redis.got = 0;
    azc_after(server, redis.pause + rand() % (redis.pause / 4), redis_connect, NULL);
    redis.pause = redis.pause * 2 < LAST_PAUSE ? redis.pause * 2 : LAST_PAUSE;
}

/* Queue bytes. redis_write sends them once the socket is writable. */
static void redis_put(const void *bytes, size_t len) {
    if (redis.len + len > redis.size) {
        redis.size = (redis.len + len) * 2;
        redis.out = (char *)realloc(redis.out, redis.size);
        if (redis.out == NULL) abort();
    }
    memcpy(redis.out + redis.len, bytes, len);
    redis.len += len;
}

/* Queue a command of `count` words; the last word may hold any bytes. */
static void redis_command(int count, const char *const *words, const void *last, size_t len) {
    char head[32];
    redis_put(head, (size_t)snprintf(head, sizeof head, "*%d\r\n", count));
    for (int i = 0; i < count; i++) {
        const void *word = i < count - 1 ? words[i] : last;
        size_t n = i < count - 1 ? strlen(words[i]) : len;
        redis_put(head, (size_t)snprintf(head, sizeof head, "$%zu\r\n", n));
        redis_put(word, n);
        redis_put("\r\n", 2);
    }
    azc_watch(server, redis.fd, AZC_READ | AZC_WRITE, redis_ready, NULL);
}

static void redis_subscribe(const char *room, int present) {
    const char *command = present ? "SUBSCRIBE" : "UNSUBSCRIBE";
    char name[sizeof redis.prefix + 256];
    int n = snprintf(name, sizeof name, "%s%s", redis.prefix, room);
    redis_command(2, &command, name, (size_t)n);
}

/* on_room: the first local member joined a room, or the last one left. */
static void redis_room(azc_channel *channel, const char *room, int present) {
    (void)channel;
    if (strcmp(room, lobby) == 0) return;
    if (redis.up) redis_subscribe(room, present); /* otherwise redis_greeted subscribes */
}

/* on_publish: a local broadcast to a room. */
static void redis_publish(azc_channel *channel, const char *room, const void *data, size_t len,
                          int binary) {
    static char message[17 + sizeof redis.in / 2];
    char name[sizeof redis.prefix + 256];
    const char *words[2] = {"PUBLISH", name};
    int full = redis.up && redis.len - redis.sent > MAX_QUEUED;
    (void)channel;
    if (room == NULL || len > sizeof message - 17) return;
    if (full && !redis.full) redis_log("redis is slow: messages stay local for now");
    redis.full = full;
    redis.stayed += !redis.up || full;
    if (!redis.up || full) return;
    snprintf(name, sizeof name, "%s%s", redis.prefix, room);
    memcpy(message, redis.id, 16);
    message[16] = binary ? 'b' : 't';
    memcpy(message + 17, data, len);
    redis_command(3, words, message, 17 + len);
}

/* Redis accepted the login: subscribe to each room with local members. */
static void redis_greeted(void) {
    redis.up = 1;
    redis_log("redis is here; %lu messages stayed local", redis.stayed);
    redis.stayed = 0;
    redis_subscribe(lobby, 1);
    for (azc_cursor c = azc_members(chat, NULL); azc_cursor_next(&c);) {
        for (azc_cursor r = azc_rooms(c.conn); azc_cursor_next(&r);) {
            azc_cursor first = azc_members(chat, r.room); /* once per room */
            if (azc_cursor_next(&first) && first.conn == c.conn) redis_room(chat, r.room, 1);
        }
    }
}

/* ---- Replies from Redis ---- */

/* The length of the RESP3 value at p, nested values included. 0: incomplete, -1: too long. */
static long resp_length(const char *p, size_t len) {
    size_t at = 0;
    for (long todo = 1; todo > 0; todo--) {
        const char *end = (const char *)memchr(p + at, '\n', len - at);
        if (end == NULL) return len < sizeof redis.in ? 0 : -1;
        char type = p[at];
        long n = strchr("$=!*~>%|", type) ? strtol(p + at + 1, NULL, 10) : 0;
        at = (size_t)(end - p) + 1;
        if (n < -1 || n > (long)sizeof redis.in) return -1;
        if (n < 0) continue; /* a null */
        if (strchr("$=!", type)) at += (size_t)n + 2;
        else todo += strchr("%|", type) ? 2 * n : n;
        if (at > len) return at <= sizeof redis.in ? 0 : -1;
    }
    return (long)at;
}

/* The bytes of "$n\r\n...\r\n" at *p, NUL-terminated in place; *p moves past it. */
static char *resp_bytes(char **p, size_t *len) {
    char *bytes = strchr(*p, '\n') + 1;
    *len = (size_t)strtoul(*p + 1, NULL, 10);
    *p = bytes + *len + 2;
    bytes[*len] = 0;
    return bytes;
}

/* A published message: deliver it, unless this process published it. */
static void redis_message(char *p) {
    size_t len, kind_len, prefix = strlen(redis.prefix);
    char *kind = resp_bytes(&p, &kind_len);
    char *room = resp_bytes(&p, &len);
    if (len <= prefix) return;
    room += prefix;
    if (strcmp(kind, "subscribe") == 0 && strcmp(room, lobby) == 0) lobby_anew();
    if (strcmp(kind, "message") != 0) return;
    char *message = resp_bytes(&p, &len);
    if (len < 17 || memcmp(message, redis.id, 16) == 0) return;
    azc_deliver(chat, room, message + 17, len - 17, message[16] == 'b');
}

static void redis_value(char *p) {
    if (*p == '>') redis_message(strchr(p, '\n') + 1);
    if (*p == '+' && !redis.up) redis_greeted(); /* the reply to SELECT */
    if (*p != '-') return; /* the replies to PUBLISH, PING and HELLO do not matter */
    p[strcspn(p, "\r")] = 0;
    redis_down(p + 1);
}

static void redis_read(void) {
    ssize_t n = recv(redis.fd, redis.in + redis.got, sizeof redis.in - redis.got, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    if (n <= 0) {
        redis_down(n < 0 ? strerror(errno) : "connection closed");
        return;
    }
    redis.got += (size_t)n;
    redis.silent = 0;
    size_t at = 0;
    while (redis.fd >= 0 && at < redis.got) {
        long len = resp_length(redis.in + at, redis.got - at);
        if (len < 0) redis_down("reply too large");
        if (len <= 0) break;
        redis_value(redis.in + at);
        at += (size_t)len;
    }
    if (redis.fd < 0) return;
    memmove(redis.in, redis.in + at, redis.got - at);
    redis.got -= at;
}

static void redis_write(void) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(redis.fd, SOL_SOCKET, SO_ERROR, &error, &size); /* also reports a failed connect */
    ssize_t n = error ? (errno = error, -1)
                      : send(redis.fd, redis.out + redis.sent, redis.len - redis.sent,
                             MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        redis_down(strerror(errno));
        return;
    }
    if (n > 0) redis.sent += (size_t)n;
    if (redis.sent == redis.len) redis.sent = redis.len = 0;
    if (redis.sent > redis.size / 2) { /* reuse the space of the sent bytes */
        redis.len -= redis.sent;
        memmove(redis.out, redis.out + redis.sent, redis.len);
        redis.sent = 0;
    }
    azc_watch(server, redis.fd, AZC_READ | (redis.len > 0 ? AZC_WRITE : 0), redis_ready, NULL);
}

static void redis_ready(azc_server *s, int fd, int events, void *user) {
    (void)s;
    (void)user;
    if (events & AZC_WRITE) redis_write();
    if (events & AZC_READ && redis.fd == fd) redis_read();
}

static void redis_connect(azc_server *s, void *arg) {
    const char *hello[4] = {"HELLO", "3", "AUTH", "default"}, *select[1] = {"SELECT"};
    const char *password = redis.password;
    (void)arg;
    redis.fd = socket(redis.address.ss_family, SOCK_STREAM, 0);
    redis.silent = 0;
    if (redis.fd < 0 || fcntl(redis.fd, F_SETFL, O_NONBLOCK) < 0 ||
        fcntl(redis.fd, F_SETFD, FD_CLOEXEC) < 0 ||
        (connect(redis.fd, (struct sockaddr *)&redis.address, redis.address_len) < 0 &&
         errno != EINPROGRESS) ||
        azc_watch(s, redis.fd, AZC_WRITE, redis_ready, NULL) != AZC_OK) {
        redis_down(strerror(errno));
        return;
    }
    if (password != NULL) redis_command(5, hello, password, strlen(password));
    else redis_command(2, hello, "3", 1);
    redis_command(2, select, redis.database, strlen(redis.database));
}

/* Ping Redis: a host that vanished sends no error. */
static void redis_ping(azc_server *s, void *arg) {
    (void)s;
    (void)arg;
    if (redis.fd < 0) return;
    if (redis.len - redis.sent > MAX_BEHIND) redis_down("too far behind");
    else if (++redis.silent > MAX_SILENT) redis_down("silent");
    else if (redis.up) {
        redis.pause = FIRST_PAUSE; /* the link works */
        redis_command(1, NULL, "PING", 4);
    }
}

/* ==== The program ============================================================================= */

/* SIGTERM: a new process takes over. Close the peers one by one, so that they do not all reconnect
   at once. A signal handler may only call azc_post and azc_stop. */
static void shut_down(azc_server *s, void *arg) {
    (void)arg;
    azc_shutdown(s, 2000);
}
static void on_sigterm(int signum) {
    (void)signum;
    if (azc_post(server, shut_down, NULL) != AZC_OK) azc_stop(server);
}

/* Look up the address of Redis, once and before the loop, because a name server may be slow. */
static int redis_find(const char *host, const char *port) {
    struct addrinfo hints, *found;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error) return fprintf(stderr, "cluster: %s: %s\n", host, gai_strerror(error)), 0;
    memcpy(&redis.address, found->ai_addr, found->ai_addrlen);
    redis.address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 1;
}

/* Make a random id of 16 digits. */
static int redis_id(void) {
    unsigned char bytes[8];
    FILE *random = fopen("/dev/urandom", "rb");
    size_t n = random ? fread(bytes, 1, sizeof bytes, random) : 0;
    if (random) fclose(random);
    for (size_t i = 0; i < n; i++) snprintf(redis.id + 2 * i, 3, "%02x", bytes[i]);
    srand(bytes[0] * 256u + bytes[1]);
    return n == sizeof bytes;
}

int main(int argc, char **argv) {
    const char *host = "127.0.0.1", *port = "6379";
    azc_config config = {0};
    int option;
    while ((option = getopt(argc, argv, "h:p:a:n:s")) != -1) {
        if (option == 'h') host = optarg;
        else if (option == 'p') port = optarg;
        else if (option == 'a') redis.password = optarg;
        else if (option == 'n') redis.database = optarg;
        else if (option == 's') config.reuse_port = 1;
        else return 2;
    }
    /* All databases share the Redis channels, so the database is in their names. */
    snprintf(redis.prefix, sizeof redis.prefix, "azchan:%.8s:", redis.database);
    if (!redis_find(host, port) || !redis_id()) return 1;

    config.port = 4000;
    config.host = optind < argc ? argv[optind] : NULL;
    config.listen_fd = getenv("LISTEN_FDS") ? 3 : 0; /* from systemd */
    config.max_backlog = 32 << 20; /* Redis may deliver at once what it queues for a subscriber */
    server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);
    signal(SIGTERM, on_sigterm);
    azc_channel_desc desc = {0};
    desc.path = "/chat";
    desc.on_message = chat_message;
    chat = azc_add_channel(server, &desc);
    azc_on_publish(chat, redis_publish);
    azc_on_room(chat, redis_room);
    lobby_anew();
    azc_add_page(server, "/", "text/html; charset=utf-8", cluster_page, sizeof cluster_page);
    azc_add_client(server, "/azchan.js"); /* the page's connection */
    if (azc_listen(server) == AZC_OK) {
        puts(azc_url(server, "http", "/"));
        fflush(stdout);
        redis_connect(server, NULL);
        azc_every(server, PING_MS, redis_ping, NULL);
    }
    int error = azc_run(server);
    azc_destroy(server);
    free(redis.out);
    return error != AZC_OK;
}
