/* metrics.c: the statistics of a server, as a page for Prometheus.

       cc -I. examples/metrics.c -o metrics && ./metrics [[host:]port]

   Then open http://127.0.0.1:4000/metrics; messages to ws://127.0.0.1:4000/echo change it. If a
   proxy serves this port, it should refuse /metrics to the public. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Prometheus text format 0.0.4: the lines of a metric are together, after its help and type. */
typedef struct text {
    char bytes[32 * 1024]; /* twice what all 216 statuses and codes need */
    size_t len;
} text;

static void put(text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->bytes + t->len, sizeof t->bytes - t->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof t->bytes - t->len) abort(); /* enlarge bytes */
    t->len += (size_t)n;
}

static void put_head(text *t, const char *name, const char *type, const char *help) {
    put(t, "# HELP azchan_%s %s\n# TYPE azchan_%s %s\n", name, help, name, type);
}

static void put_value(text *t, const char *name, const char *labels, uint64_t value) {
    put(t, "azchan_%s%s %llu\n", name, labels, (unsigned long long)value);
}

static void put_one(text *t, const char *name, const char *type, const char *help,
                    uint64_t value) {
    put_head(t, name, type, help);
    put_value(t, name, "", value);
}

static void put_both(text *t, const char *name, const char *help, uint64_t in, uint64_t out) {
    put_head(t, name, "counter", help);
    put_value(t, name, "{direction=\"in\"}", in);
    put_value(t, name, "{direction=\"out\"}", out);
}

/* A line for each count above 0, labelled with its number. */
static void put_each(text *t, const char *name, const char *label, const uint64_t *counts,
                     int count, int first) {
    for (int i = 0; i < count; i++) {
        char labels[32];
        snprintf(labels, sizeof labels, "{%s=\"%d\"}", label, first + i);
        if (counts[i] > 0) put_value(t, name, labels, counts[i]);
    }
}

static int page_metrics(azc_conn *conn, void *user) {
    const azc_statistics *s = azc_stats(azc_server_of(conn));
    static text t;
    (void)user;
    t.len = 0;
    put_one(&t, "connections", "gauge", "Open connections, requests included.", s->connections);
    put_one(&t, "open", "gauge", "Open connections in channels.", s->open);
    put_one(&t, "peak_backlog_bytes", "gauge", "Largest backlog of a connection so far.",
            s->peak_backlog);
    put_one(&t, "accepted_total", "counter", "Connections accepted.", s->accepted);
    put_one(&t, "opened_total", "counter", "Connections that opened a channel.", s->opened);
    put_one(&t, "requests_total", "counter", "Requests answered.", s->requests);
    put_head(&t, "refused_total", "counter", "Requests answered with an error, by status.");
    put_each(&t, "refused_total", "status", s->refused, 200, 400);
    put_head(&t, "closed_total", "counter", "Channel connections that ended, by close code.");
    put_each(&t, "closed_total", "code", s->closed, 16, 1000);
    put_value(&t, "closed_total", "{code=\"app\"}", s->closed_app);
    put_both(&t, "messages_total", "Messages in channels.", s->messages_in, s->messages_out);
    put_both(&t, "bytes_total", "Bytes on the wire.", s->bytes_in, s->bytes_out);
    put_one(&t, "dropped_total", "counter", "Messages refused at max_backlog.", s->dropped);
    put_one(&t, "pauses_total", "counter", "Pauses of reading because of a backlog.", s->pauses);
    put_one(&t, "gave_way_total", "counter", "Unfinished requests dropped at "
            "max_connections.", s->gave_way);
    put_one(&t, "over_address_total", "counter", "Connections refused at max_per_address.",
            s->over_address);
    return azc_reply(conn, 200, "text/plain; version=0.0.4; charset=utf-8", t.bytes, t.len);
}

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;

    azc_channel_desc echo = {0};
    echo.path = "/echo";
    echo.on_message = azc_send_text;

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);
    azc_add_channel(server, &echo);
    azc_add_handler(server, "/metrics", page_metrics, NULL);
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/metrics"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
