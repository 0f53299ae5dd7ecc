/* own_loop.c: a program with its own loop. It moves a small world 30 times per second, reads lines
   from its terminal, and shows both on a page.

       cc -I. examples/own_loop.c -o own_loop -lm && ./own_loop [[host:]port]

   Then open http://127.0.0.1:4000/ in two tabs and tap. Lines typed in the terminal appear there.
   The loop is in main, at the end. The page is pages/own_loop.html, which `make pages` turns into
   own_loop_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "own_loop_page.h"
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ==== The world: balls in a box =============================================================== */

enum { BALLS = 24, TICK_MS = 33, WIDE = 1000, HIGH = 1000 };

typedef struct ball {
    double x, y, dx, dy, radius; /* in units of WIDE and HIGH */
    int hue;
} ball;

static ball balls[BALLS];
static int ball_count, ball_next; /* a new ball replaces the oldest */

static void world_add(double x, double y) {
    static unsigned n = 0;
    n++;
    ball b = {x, y, n * 89 % 256 - 127.5, -200, 26 + n * 57 % 32, (int)(n * 137 % 360)};
    balls[ball_next] = b;
    ball_next = (ball_next + 1) % BALLS;
    if (ball_count < BALLS) ball_count++;
}

static void ball_wall(double *at, double *speed, double low, double high, double bounce) {
    if (*at >= low && *at <= high) return;
    *at = *at < low ? low : high;
    *speed *= -bounce;
}

/* Move two overlapping balls apart and swap their speeds along the line between them. */
static void ball_meet(ball *a, ball *b) {
    double x = b->x - a->x, y = b->y - a->y, far = sqrt(x * x + y * y);
    double deep = a->radius + b->radius - far;
    if (deep <= 0 || far == 0) return;
    x /= far, y /= far;
    double closing = (a->dx - b->dx) * x + (a->dy - b->dy) * y;
    if (closing > 0) {
        a->dx -= closing * x, a->dy -= closing * y;
        b->dx += closing * x, b->dy += closing * y;
    }
    a->x -= x * deep / 2, a->y -= y * deep / 2;
    b->x += x * deep / 2, b->y += y * deep / 2;
}

static void world_tick(void) {
    const double seconds = TICK_MS / 1000.0;
    for (int i = 0; i < ball_count; i++) {
        ball *b = &balls[i];
        b->dy += 900 * seconds;
        b->x += b->dx * seconds;
        b->y += b->dy * seconds;
        ball_wall(&b->x, &b->dx, b->radius, WIDE - b->radius, 1);
        ball_wall(&b->y, &b->dy, b->radius, HIGH - b->radius, 0.97);
        for (int k = 0; k < i; k++) ball_meet(b, &balls[k]);
    }
}

/* ==== The channel ============================================================================= */

static azc_channel *channel;
static char said[256]; /* the last line from the terminal */

/* Send {"balls":[[x,y,radius,hue],...]} to everyone. A slow peer misses some (AZC_FULL_DROP). */
static void send_world(void) {
    static char buf[BALLS * 32 + 64];
    if (azc_count(channel, NULL) == 0) return;
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_array(&w, "balls");
    for (int i = 0; i < ball_count; i++) {
        const ball *b = &balls[i];
        azc_put_array(&w, NULL);
        azc_put_int(&w, NULL, lround(b->x));
        azc_put_int(&w, NULL, lround(b->y));
        azc_put_int(&w, NULL, lround(b->radius));
        azc_put_int(&w, NULL, b->hue);
        azc_put_end(&w);
    }
    azc_put_end(&w);
    azc_broadcast_json(channel, NULL, &w, NULL);
}

/* Send the line to one connection, or with conn NULL to all. A line that is not UTF-8 is an error
   and is not sent. */
static int send_said(azc_conn *conn) {
    char buf[6 * sizeof said + 32];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "said", said);
    return conn ? azc_send_json(conn, &w) : azc_broadcast_json(channel, NULL, &w, NULL);
}

static int world_connect(azc_conn *conn) { return *said ? send_said(conn) : AZC_OK; }

/* Pages send {"tap":[x,y]}, which adds a ball there. */
static int world_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    double x, y;
    (void)conn;
    if (azc_json_read(&in, text, len) != AZC_OK) return AZC_ERR_JSON;
    azc_json tap = azc_json_get(in, "tap");
    if (azc_json_double(azc_json_at(tap, 0), &x) != AZC_OK ||
        azc_json_double(azc_json_at(tap, 1), &y) != AZC_OK) return AZC_ERR_TYPE;
    if (x < 0 || x > WIDE || y < 0 || y > HIGH) return AZC_ERR_RANGE;
    world_add(x, y);
    return AZC_OK;
}

/* ==== The program ============================================================================= */

static long long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Read a line from the terminal. Returns 0 at the end of the input. */
static int terminal_read(void) {
    ssize_t n = read(STDIN_FILENO, said, sizeof said - 1);
    if (n <= 0) return 0;
    said[n] = 0;
    said[strcspn(said, "\r\n")] = 0;
    send_said(NULL);
    return 1;
}

int main(int argc, char **argv) {
    enum { MAX_FDS = 128 };
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;
    config.max_connections = MAX_FDS - 2; /* two for the listener and the pipe that wakes it */

    azc_channel_desc world = {0};
    world.path = "/world";
    world.when_full = AZC_FULL_DROP;
    world.on_connect = world_connect;
    world.on_message = world_message;

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);
    channel = azc_add_channel(server, &world);
    azc_add_page(server, "/", "text/html; charset=utf-8", own_loop_page, sizeof own_loop_page);
    azc_add_client(server, "/azchan.js");
    for (int i = 1; i <= 5; i++) world_add(i * WIDE / 6.0, HIGH / 3.0);
    int alive = azc_listen(server) == AZC_OK ? 1 : -1;
    if (alive > 0) puts(azc_url(server, "http", "/"));
    fflush(stdout);

    /* One poll waits for the terminal, the server's descriptors and the next tick. */
    struct pollfd fds[1 + MAX_FDS] = {{STDIN_FILENO, POLLIN, 0}};
    for (long long tick = now_ms(); alive > 0;) {
        long long left = tick - now_ms();
        int wait = left > 0 ? (int)left : 0;
        size_t n = azc_poll_begin(server, fds + 1, MAX_FDS, &wait);
        if (poll(fds, (nfds_t)(1 + n), wait) < 0) n = 0, fds[0].revents = 0;
        alive = azc_poll_end(server, fds + 1, n);

        if (fds[0].revents && !terminal_read()) fds[0].fd = -1;
        if (now_ms() < tick) continue;
        tick += TICK_MS;
        if (tick < now_ms()) tick = now_ms(); /* late: skip the missed ticks */
        world_tick();
        send_world();
    }
    azc_destroy(server);
    return alive < 0;
}
