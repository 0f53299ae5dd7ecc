/* host.c: a server for the tests of this folder, told by its arguments what to be:
 *
 *     host [host=...] [port=...] [origins=...] [trusted=...] [per_address=...] [reuse_port=1]
 *          [listen_fd=...] [drain=ms]
 *
 * listen_fd=systemd takes what systemd passes, listen_fd=inetd its stdin. SIGTERM drains for so
 * many ms, or stops. Its address is the first line of its stdout, which inetd's are not given. The
 * channel /echo gives back; /peer greets with azc_peer, /pid with its process. Pages: / opens /echo
 * and shows what came of it, /peer is azc_peer. POST /whole gives the body back, POST /form the
 * fields a and b, PUT and POST /sum the length and a sum of an upload; /smuggled counts itself, and
 * /counts shows that, how many connections there were, and how many there are. /late answers after
 * 300 ms, /long?mb=n with so many MB in parts, chunked or with a length (&known), and /events with
 * an event each 200 ms, without end. */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char page[] =
    "<!doctype html><link rel=icon href=data:,><title>host</title><p id=said>...<script>"
    "const socket = new WebSocket(location.origin.replace('http', 'ws') + '/echo');"
    "const say = (text) => { document.getElementById('said').textContent = text; };"
    "socket.onopen = () => socket.send('hello');"
    "socket.onmessage = (event) => say(event.data);"
    "socket.onclose = (event) => say('closed ' + event.code);"
    "</script>";

static int greet(azc_conn *conn) {
    return azc_send_text(conn, azc_peer(conn), strlen(azc_peer(conn)));
}

static int page_peer(azc_conn *conn, void *user) {
    (void)user;
    return azc_reply(conn, 200, "text/plain", azc_peer(conn), strlen(azc_peer(conn)));
}

static int greet_pid(azc_conn *conn) {
    char text[24];
    return azc_send_text(conn, text, (size_t)snprintf(text, sizeof text, "%ld", (long)getpid()));
}

static int give_whole(azc_conn *conn, void *user) {
    size_t len;
    const char *body = azc_body(conn, &len);
    (void)user;
    return azc_reply(conn, 200, "text/plain", body, len);
}

static int give_form(azc_conn *conn, void *user) {
    const char *a = azc_form(conn, "a"), *b = azc_form(conn, "b");
    char text[2048];
    (void)user;
    if (a == NULL) return 400;
    int n = snprintf(text, sizeof text, "%s|%s", a, b ? b : "-");
    return azc_reply(conn, 200, "text/plain", text, (size_t)n);
}

typedef struct sum {
    unsigned long long bytes, sum;
} sum;
static int give_sum(azc_conn *conn, const void *data, size_t len, int flags) {
    const unsigned char *p = (const unsigned char *)data;
    sum *s = (sum *)azc_data(conn);
    s->bytes += len;
    for (size_t i = 0; i < len; i++) s->sum += p[i];
    if (!(flags & AZC_PART_LAST)) return AZC_OK;
    char text[64];
    int n = snprintf(text, sizeof text, "%llu %llu", s->bytes, s->sum);
    return azc_reply(conn, 200, "text/plain", text, (size_t)n);
}

static int smuggled;
static int count_smuggled(azc_conn *conn, void *user) {
    (void)user;
    smuggled++;
    return azc_reply(conn, 200, "text/plain", "smuggled", 8);
}
static int give_counts(azc_conn *conn, void *user) {
    char text[64];
    unsigned long long accepted = azc_stats(azc_server_of(conn))->accepted;
    (void)user;
    int open = azc_stats(azc_server_of(conn))->connections;
    int n = snprintf(text, sizeof text, "%d %llu %d", smuggled, accepted, open);
    return azc_reply(conn, 200, "text/plain", text, (size_t)n);
}

static void late_now(azc_server *server, void *id) {
    azc_conn *conn = azc_find(server, *(uint64_t *)id);
    azc_reply(conn, 200, "text/plain", azc_target(conn), AZC_NUL);
    free(id);
}
static int give_late(azc_conn *conn, void *user) {
    uint64_t *id = (uint64_t *)malloc(sizeof *id);
    (void)user;
    if (id == NULL) return 503;
    *id = azc_reply_later(conn);
    if (azc_after(azc_server_of(conn), 300, late_now, id) == 0) return free(id), 503;
    return AZC_OK;
}

static int long_more(azc_conn *conn, size_t room, void *left) {
    unsigned char part[8192];
    uint64_t *n = (uint64_t *)left;
    if (room == 0) return free(left), AZC_OK;
    if (*n == 0) return azc_reply_end(conn);
    size_t len = room < sizeof part ? room : sizeof part;
    if (len > *n) len = (size_t)*n;
    for (size_t i = 0; i < len; i++) part[i] = (unsigned char)((*n - i) % 251);
    int error = azc_reply_part(conn, part, len);
    *n -= len;
    return error;
}
static int give_long(azc_conn *conn, void *user) {
    const char *mb = azc_query(conn, "mb");
    uint64_t *left = (uint64_t *)malloc(sizeof *left);
    (void)user;
    if (left == NULL) return 503;
    *left = (uint64_t)atoi(mb ? mb : "1") << 20;
    return azc_reply_begin(conn, 200, "application/octet-stream",
                           azc_query(conn, "known") ? *left : AZC_CHUNKED, long_more, left);
}

static uint64_t streams[16];
static void tick(azc_server *server, void *arg) {
    static unsigned ticks;
    char event[40];
    (void)arg;
    snprintf(event, sizeof event, "data: %u\n\n", ++ticks);
    for (int i = 0; i < 16; i++)
        if (azc_reply_part(azc_find(server, streams[i]), event, AZC_NUL) != AZC_OK) streams[i] = 0;
}
static int give_events(azc_conn *conn, void *user) {
    int i = 0;
    (void)user;
    while (i < 16 && streams[i] != 0) i++;
    if (i == 16) return 503;
    azc_reply_header(conn, "X-Accel-Buffering", "no");
    int error = azc_reply_begin(conn, 200, "text/event-stream", AZC_CHUNKED, NULL, NULL);
    streams[i] = azc_id(conn);
    return error;
}

static volatile sig_atomic_t ending;
static void end(int number) { ending = number; }

/* What a word gives, or NULL. */
static const char *given(char **words, const char *name) {
    size_t len = strlen(name);
    for (; *words; words++)
        if (strncmp(*words, name, len) == 0 && (*words)[len] == '=') return *words + len + 1;
    return NULL;
}
static int number(char **words, const char *name) {
    const char *text = given(words, name);
    if (text && strcmp(text, "systemd") == 0) return getenv("LISTEN_FDS") ? 3 : 0;
    if (text && strcmp(text, "inetd") == 0) return dup(0);
    return text ? atoi(text) : 0;
}

int main(int argc, char **argv) {
    (void)argc;
    azc_config config = {0};
    config.host = given(argv, "host"), config.port = number(argv, "port");
    config.origins = given(argv, "origins");
    config.max_per_address = number(argv, "per_address");
    config.reuse_port = number(argv, "reuse_port"), config.listen_fd = number(argv, "listen_fd");
    signal(SIGTERM, end), signal(SIGINT, end);

    azc_server *server = azc_create(&config);
    if (given(argv, "trusted")) azc_trust_proxies(server, given(argv, "trusted"));
    azc_channel_desc echo = {0};
    echo.path = "/echo", echo.on_message = azc_send_text, echo.on_binary = azc_send_binary;
    azc_add_channel(server, &echo);
    echo.path = "/peer", echo.on_connect = greet;
    azc_add_channel(server, &echo);
    echo.path = "/pid", echo.on_connect = greet_pid;
    azc_add_channel(server, &echo);
    azc_add_page(server, "/", "text/html", page, sizeof page - 1);
    azc_add_handler(server, "/peer", page_peer, NULL);
    azc_add_endpoint(server, "POST", "/whole", give_whole, NULL);
    azc_add_endpoint(server, "POST", "/form", give_form, NULL);
    azc_add_upload(server, "PUT", "/sum", give_sum, sizeof(sum), NULL);
    azc_add_upload(server, "POST", "/sum", give_sum, sizeof(sum), NULL);
    azc_add_handler(server, "/smuggled", count_smuggled, NULL);
    azc_add_handler(server, "/counts", give_counts, NULL);
    azc_add_handler(server, "/late", give_late, NULL);
    azc_add_handler(server, "/long", give_long, NULL);
    azc_add_handler(server, "/events", give_events, NULL);
    azc_every(server, 200, tick, NULL);
    if (azc_listen(server) != AZC_OK) return fprintf(stderr, "%s\n", azc_error(server)), 1;
    const char *from = given(argv, "listen_fd");
    if (!from || strcmp(from, "inetd") != 0) printf("http://127.0.0.1:%d/\n", azc_port(server));
    fflush(stdout);
    for (int told = 0; azc_poll(server, 20) > 0;) {
        if (!ending || told++) continue;
        if (given(argv, "drain")) azc_shutdown(server, number(argv, "drain"));
        else azc_stop(server);
    }
    return azc_destroy(server) == AZC_OK ? 0 : 1;
}
