/* ops.c: n deadlines, rooms, ids or timers in one server, and count operations on random ones of
 * them: a deadline is set anew, a room visited, an id looked up, a timer cancelled and another set,
 * or the next of them runs and sets itself again.
 *
 *     ops deadlines|rooms|ids|timers|beats N COUNT
 *
 * No sockets: callgrind counts its instructions at two COUNTs, and the difference is the cost of
 * an operation, which must not grow with N. */
#define _DEFAULT_SOURCE 1
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t ops_now = 1000000; /* ms: nobody waits */
static int ops_clock(clockid_t clock, struct timespec *t) {
    (void)clock;
    t->tv_sec = (time_t)(ops_now / 1000);
    t->tv_nsec = (long)(ops_now % 1000) * 1000000;
    return 0;
}
#define clock_gettime ops_clock
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"

static void need(int held) {
    if (held) return;
    fprintf(stderr, "ops: out of memory, or a wrong answer\n");
    exit(1);
}

/* A connection whose socket is nobody's. */
static azc_conn *make_conn(azc_server *server) {
    static const char request[] =
        "GET /room HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    static const azc__visitor nobody = {0, {0}};
    unsigned char bytes[sizeof request];
    azc_conn *conn = azc__conn_make(server, -1, &nobody);
    need(conn != NULL);
    memcpy(bytes, request, sizeof request);
    azc__receive(conn, bytes, sizeof request - 1);
    need(azc_find(server, azc_id(conn)) == conn);
    return conn;
}

static uint32_t random_below(uint32_t n) {
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 32) * n >> 32);
}

static unsigned long beats;

/* Seconds to minutes, as programs wait. */
static int some_ms(void) { return 1000 + (int)random_below(120000); }

static void beat(azc_server *server, void *arg) {
    beats++;
    need(azc_after(server, some_ms(), beat, arg) != 0);
}

/* Time passes until one more timer has run. */
static void next_beat(azc_server *server) {
    for (unsigned long before = beats; beats == before;) {
        server->now = ops_now = server->wheel.due;
        azc__wheel_run(server);
    }
}

int main(int argc, char **argv) {
    uint32_t n = argc == 4 ? (uint32_t)strtoul(argv[2], NULL, 10) : 0;
    unsigned long count = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    azc_config config = {0};
    config.max_connections = 1 << 20;
    azc_channel_desc room = {0};
    room.path = "/room";
    azc_server *server = azc_create(&config);
    azc_add_channel(server, &room);
    azc_conn **conns = (azc_conn **)calloc(n + 1, sizeof *conns);
    uint64_t *ids = (uint64_t *)calloc(n + 1, sizeof *ids);
    char (*names)[16] = (char (*)[16])calloc(n + 1, sizeof *names);
    if (n == 0 || server == NULL || conns == NULL || ids == NULL || names == NULL) return 2;
    for (uint32_t i = 0; i <= n; i++) {
        conns[i] = make_conn(server);
        ids[i] = azc_id(conns[i]);
        snprintf(names[i], sizeof names[i], "room %08u", (unsigned)i);
        if (i < n) need(azc_join(conns[i], names[i]) == AZC_OK);
    }
    int timers = argv[1][0] == 't', running = argv[1][0] == 'b';
    for (uint32_t i = 0; (timers || running) && i < n; i++)
        need((ids[i] = azc_after(server, some_ms(), beat, NULL)) != 0);
    for (uint32_t i = 0; running && i < 2 * n; i++) next_beat(server); /* into its stride */
    for (unsigned long k = 0; k < count; k++) {
        uint32_t i = random_below(n);
        if (running) {
            next_beat(server);
        } else if (timers) {
            need(azc_cancel(server, ids[i]) == AZC_OK);
            need((ids[i] = azc_after(server, some_ms(), beat, NULL)) != 0);
        } else if (argv[1][0] == 'd') {
            azc__deadline_set(conns[i], AZC__DEADLINE_PING);
        } else if (argv[1][0] == 'r') { /* the last connection visits a room of another */
            need(azc_join(conns[n], names[i]) == AZC_OK);
            need(azc_leave(conns[n], names[i]) == AZC_OK);
            azc__room_sweep(server);
        } else {
            need(azc_find(server, ids[i]) == conns[i]);
        }
    }
    return 0; /* the process ends, and its memory with it */
}
