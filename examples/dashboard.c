/* dashboard.c: this machine, live: processor, load, memory, network and temperature. A new viewer
   gets the last five minutes; a slow viewer skips to the newest sample.

       cc -I. examples/dashboard.c -o dashboard && ./dashboard [[host:]port]

   Then open http://127.0.0.1:4000/. Most values come from Linux (/proc, /sys). Values that the
   system does not offer are left out, here and on the page. The page is pages/dashboard.html, which
   `make pages` turns into dashboard_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "dashboard_page.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#ifndef PERIOD_MS
#define PERIOD_MS 1000 /* between two samples */
#endif
enum { HISTORY = 300, HISTORY_BYTES = 128 * 1024, MAX_CORES = 16 };

/* ==== Values: each put_ function writes its value, or nothing if there is none ================ */

/* The start of a file as a string, "" if it cannot be read. Valid until the next call. */
static const char *contents(const char *path) {
    static char text[16 * 1024];
    size_t len = 0;
    FILE *file = fopen(path, "r");
    if (file) {
        len = fread(text, 1, sizeof text - 1, file);
        fclose(file);
    }
    text[len] = '\0';
    return text;
}

static int64_t clock_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* With one decimal, as the charts show it. */
static void put_tenths(azc_writer *w, const char *name, double value) {
    azc_put_double(w, name, (double)(int64_t)(value * 10 + .5) / 10);
}

typedef struct ticks {
    uint64_t busy, all;
} ticks;

/* Percent busy since the last call, from a line like "cpu0 90 0 33 812 5 0 1 0". */
static void put_busy(azc_writer *w, const char *name, const char *line, ticks *last) {
    ticks now = {0, 0};
    const char *at = line + strcspn(line, " ");
    for (int i = 0; i < 8; i++) { /* user nice system idle iowait irq softirq steal */
        char *end;
        uint64_t n = strtoull(at, &end, 10);
        now.all += n;
        if (i != 3 && i != 4) now.busy += n;
        at = end;
    }
    double all = (double)(now.all - last->all), busy = (double)(now.busy - last->busy);
    put_tenths(w, name, all > 0 && busy >= 0 && busy <= all ? 100 * busy / all : 0);
    *last = now;
}

static void put_processor(azc_writer *w) {
    static ticks last[1 + MAX_CORES];
    const char *line = contents("/proc/stat");
    if (strncmp(line, "cpu ", 4) != 0) return;
    put_busy(w, "cpu", line, &last[0]);
    azc_put_array(w, "cores");
    for (int i = 1; i <= MAX_CORES && (line = strchr(line, '\n')); i++) {
        if (strncmp(++line, "cpu", 3) != 0) break;
        put_busy(w, NULL, line, &last[i]);
    }
    azc_put_end(w);
}

static void put_load(azc_writer *w) {
    double load[3];
    if (getloadavg(load, 3) != 3) return;
    azc_put_array(w, "load");
    for (int i = 0; i < 3; i++) azc_put_double(w, NULL, load[i]);
    azc_put_end(w);
}

/* The bytes in a line like "MemTotal:  24684096 kB"; 0 without such a line. */
static uint64_t meminfo(const char *name) {
    const char *line = strstr(contents("/proc/meminfo"), name);
    return line ? strtoull(line + strlen(name), NULL, 10) * 1024 : 0;
}

static void put_memory(azc_writer *w) {
    uint64_t all = meminfo("MemTotal:"), left = meminfo("MemAvailable:");
    if (all && left <= all) azc_put_uint(w, "memory", all - left);
}

/* The name of the interface with the default route, or "lo". */
static void default_interface(char *name, size_t size) {
    snprintf(name, size, "lo");
    for (const char *line = contents("/proc/net/route"); (line = strchr(line, '\n'));) {
        char found[32];
        unsigned long target;
        if (sscanf(++line, "%31s %lx", found, &target) != 2 || target != 0) continue;
        snprintf(name, size, "%s", found);
        return;
    }
}

/* Bytes per second, received and sent. */
static void put_network(azc_writer *w, int64_t now) {
    static struct {
        char name[32];
        uint64_t in, out;
        int64_t at;
    } last;
    char name[32], wanted[40];
    uint64_t in = 0, out = 0;
    default_interface(name, sizeof name);
    snprintf(wanted, sizeof wanted, " %s:", name);
    const char *line = strstr(contents("/proc/net/dev"), wanted);
    if (!line || sscanf(line + strlen(wanted), "%" SCNu64 " %*u %*u %*u %*u %*u %*u %*u %" SCNu64,
                        &in, &out) != 2) return;
    if (strcmp(name, last.name) == 0 && in >= last.in && out >= last.out && now > last.at) {
        uint64_t ms = (uint64_t)(now - last.at);
        azc_put_array(w, "net");
        azc_put_uint(w, NULL, (in - last.in) * 1000 / ms);
        azc_put_uint(w, NULL, (out - last.out) * 1000 / ms);
        azc_put_end(w);
        azc_put_string(w, "link", name);
    }
    memcpy(last.name, name, sizeof name);
    last.in = in;
    last.out = out;
    last.at = now;
}

/* The temperature of the hottest sensor, in degrees Celsius. */
static void put_heat(azc_writer *w) {
    long hottest = 0;
    for (int i = 0; i < 2 * 10; i++) {
        char path[64];
        if (i % 2) snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", i / 2);
        else snprintf(path, sizeof path, "/sys/class/hwmon/hwmon%d/temp1_input", i / 2);
        long heat = strtol(contents(path), NULL, 10);
        if (heat > hottest) hottest = heat;
    }
    if (hottest) put_tenths(w, "heat", (double)hottest / 1000);
}

/* ==== The channel ============================================================================= */

/* Send a sample to all viewers. The key makes a slow viewer skip samples: a queued sample is
   replaced by the newer one. The room's history is what the charts of a new viewer start with. */
static void sample(azc_server *server, void *channel) {
    (void)server;
    int64_t now = clock_ms();
    char buf[1024];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_int(&w, "t", now);
    put_processor(&w);
    put_load(&w);
    put_memory(&w);
    put_network(&w, now);
    put_heat(&w);
    azc_put_int(&w, "up", strtol(contents("/proc/uptime"), NULL, 10));
    azc_message m = {0};
    m.json = &w;
    m.room = "viewers";
    m.key = 1;
    azc_send(channel, &m);
}

static int board_connect(azc_conn *conn) {
    struct utsname system;
    if (uname(&system) < 0) return AZC_ERR_SYSTEM;
    char buf[1024], name[256];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "host", system.nodename);
    snprintf(name, sizeof name, "%s %s %s", system.sysname, system.release, system.machine);
    azc_put_string(&w, "system", name);
    azc_put_int(&w, "cores", sysconf(_SC_NPROCESSORS_ONLN));
    azc_put_uint(&w, "memory", meminfo("MemTotal:"));
    int error = azc_send_json(conn, &w);
    return error != AZC_OK ? error : azc_join(conn, "viewers"); /* this sends the history */
}

/* ==== The program ============================================================================= */

static azc_channel *add_board(azc_server *server) {
    azc_channel_desc board = {0};
    board.path = "/board";
    board.on_connect = board_connect;
    azc_channel *channel = azc_add_channel(server, &board);
    azc_set_history(channel, "viewers", HISTORY, HISTORY_BYTES);
    azc_every(server, PERIOD_MS, sample, channel);
    return channel;
}

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);
    add_board(server);
    azc_add_page(server, "/", "text/html; charset=utf-8", dashboard_page, sizeof dashboard_page);
    azc_add_client(server, "/azchan.js");
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
