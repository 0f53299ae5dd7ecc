/* counter.c: a live component. The server renders it as HTML. The page sends clicks and input, and
   shows the HTML that comes back.

       cc -I. examples/counter.c -o counter && ./counter [[host:]port]

   Then open http://127.0.0.1:4000/ in two tabs: one counter is shared, the other belongs to the
   tab. The page is pages/counter.html, which `make pages` turns into counter_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "counter_page.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ==== HTML ==================================================================================== */

typedef struct html {
    char text[8 * 1024];
    size_t len; /* more than sizeof text if it did not fit */
} html;

static void html_put(html *h, const char *s, size_t len) {
    if (h->len + len <= sizeof h->text) memcpy(h->text + h->len, s, len);
    h->len += len;
}

/* Append text, escaped for use between tags and inside quoted attributes. */
static void html_escape(html *h, const char *s) {
    for (; *s; s++) {
        const char *name = *s == '&' ? "&amp;" : *s == '<' ? "&lt;" : *s == '>' ? "&gt;"
                         : *s == '"' ? "&quot;" : *s == '\'' ? "&#39;" : NULL;
        if (name) html_put(h, name, strlen(name));
        else html_put(h, s, 1);
    }
}

/* Append a pattern with each ~ replaced by the next value, always escaped. */
static void html_render(html *h, const char *pattern, const char *const *values) {
    for (const char *end; (end = strchr(pattern, '~')); pattern = end + 1) {
        html_put(h, pattern, (size_t)(end - pattern));
        html_escape(h, *values++);
    }
    html_put(h, pattern, strlen(pattern));
}

/* azc_send_text: to one connection; azc_send_all: to all of its channel. */
typedef int (*sender)(azc_conn *conn, const char *text, size_t len);

static int html_send(const html *h, azc_conn *conn, sender send) {
    return h->len > sizeof h->text ? AZC_ERR_FULL : send(conn, h->text, h->len);
}

/* ==== The components ========================================================================== */

enum { MAX_COUNT = 999999999 };

static long clamp(long n, long min, long max) {
    return n < min ? min : n > max ? max : n;
}

/* The counter that all visitors share. */
static struct {
    long count;
    char what[4 * 40 + 1]; /* 40 characters */
} shared = {0, "cups of tea"};

static const char shared_pattern[] =
    "<section id=shared class='~'>"
    "<h2>Everyone's ~</h2>"
    "<output aria-live=polite>~</output>"
    "<div class=pair>"
    "<button data-click=shared-less aria-label='One less'>−</button>"
    "<button data-click=shared-more aria-label='One more'>+</button>"
    "</div>"
    "<label>What are we counting? <input data-input=shared-what maxlength=40 value='~'"
    " autocomplete=off></label>"
    "</section>";

static int shared_send(azc_conn *conn, sender send) {
    char count[24];
    snprintf(count, sizeof count, "%ld", shared.count);
    const char *values[] = {strlen(count) > 5 ? "long" : "", shared.what, count, shared.what};
    html h = {{0}, 0};
    html_render(&h, shared_pattern, values);
    return html_send(&h, conn, send);
}

/* The counter of one tab: azc_data of its connection. */
typedef struct visitor {
    long count, step;
} visitor;

static const char yours_pattern[] =
    "<section id=yours class='~' data-keep='count=~&amp;step=~'>"
    "<h2>Yours alone</h2>"
    "<output aria-live=polite>~</output>"
    "<div class=pair>"
    "<button data-click=yours-less aria-label='~ less'>− ~</button>"
    "<button data-click=yours-more aria-label='~ more'>+ ~</button>"
    "</div>"
    "<label>In steps of ~ <input data-input=yours-step type=range min=1 max=10 value='~'></label>"
    "</section>";

static int yours_send(azc_conn *conn) {
    const visitor *me = azc_data(conn);
    char n[24], s[24];
    snprintf(n, sizeof n, "%ld", me->count);
    snprintf(s, sizeof s, "%ld", me->step);
    const char *values[] = {strlen(n) > 5 ? "long" : "", n, s, n, s, s, s, s, s, s};
    html h = {{0}, 0};
    html_render(&h, yours_pattern, values);
    return html_send(&h, conn, azc_send_text);
}

/* ==== The channel ============================================================================= */

/* After a reconnect the page sends the state that it had (data-keep above). It may send anything:
   the state is the visitor's own, and is clamped to its range. */
static int counter_connect(azc_conn *conn) {
    visitor *me = azc_data(conn);
    const char *count = azc_query(conn, "count"), *step = azc_query(conn, "step");
    me->count = count ? clamp(strtol(count, NULL, 10), -MAX_COUNT, MAX_COUNT) : 0;
    me->step = step ? clamp(strtol(step, NULL, 10), 1, 10) : 1;
    int error = shared_send(conn, azc_send_text);
    return error != AZC_OK ? error : yours_send(conn);
}

static int shared_event(azc_conn *conn, long change) {
    shared.count = clamp(shared.count + change, -MAX_COUNT, MAX_COUNT);
    return shared_send(conn, azc_send_all);
}

static int yours_event(azc_conn *conn, long direction) {
    visitor *me = azc_data(conn);
    me->count = clamp(me->count + direction * me->step, -MAX_COUNT, MAX_COUNT);
    return yours_send(conn);
}

/* Pages send {"event":"shared-what","value":"..."}: a name from the patterns above, and the value
   of the element. */
static int counter_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    if (azc_json_read(&in, text, len) != AZC_OK) return AZC_ERR_JSON;
    azc_json event = azc_json_get(in, "event"), value = azc_json_get(in, "value");

    if (azc_json_equals(event, "shared-more")) return shared_event(conn, 1);
    if (azc_json_equals(event, "shared-less")) return shared_event(conn, -1);
    if (azc_json_equals(event, "yours-more")) return yours_event(conn, 1);
    if (azc_json_equals(event, "yours-less")) return yours_event(conn, -1);
    if (azc_json_equals(event, "shared-what")) {
        azc_json_string(value, shared.what, sizeof shared.what); /* cut if too long */
        return shared_send(conn, azc_send_all);
    }
    if (azc_json_equals(event, "yours-step")) {
        char step[8];
        azc_json_string(value, step, sizeof step);
        ((visitor *)azc_data(conn))->step = clamp(strtol(step, NULL, 10), 1, 10);
        return yours_send(conn);
    }
    return AZC_ERR_APP;
}

/* ==== The program ============================================================================= */

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);

    azc_channel_desc counter = {0};
    counter.path = "/counter";
    counter.data_size = sizeof(visitor);
    counter.on_connect = counter_connect;
    counter.on_message = counter_message;
    azc_add_channel(server, &counter);

    azc_add_page(server, "/", "text/html; charset=utf-8", counter_page, sizeof counter_page);
    azc_add_client(server, "/azchan.js");
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
