/* counter.c: a live component. The server draws it as HTML; the page sends what is clicked and
   typed, and puts what comes back in its place.

       cc examples/counter.c -o counter && ./counter [port]

   then open http://127.0.0.1:4000/ twice: one counter is everyone's, one each tab's own. The page
   is counter_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "counter_page.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ==== HTML ==================================================================================== */

typedef struct html {
    char text[8 * 1024];
    size_t len; /* past the end of text when it did not fit */
} html;

static void html_put(html *h, const char *s, size_t len) {
    if (h->len + len <= sizeof h->text) memcpy(h->text + h->len, s, len);
    h->len += len;
}

/* Text as text, between tags and inside quoted attributes alike. */
static void html_escape(html *h, const char *s) {
    for (; *s; s++) {
        const char *name = *s == '&' ? "&amp;" : *s == '<' ? "&lt;" : *s == '>' ? "&gt;"
                         : *s == '"' ? "&quot;" : *s == '\'' ? "&#39;" : NULL;
        if (name) html_put(h, name, strlen(name));
        else html_put(h, s, 1);
    }
}

/* A pattern with the next value for each ~, always escaped: there is no way to forget it. */
static void html_draw(html *h, const char *pattern, const char *const *values) {
    for (const char *end; (end = strchr(pattern, '~')); pattern = end + 1) {
        html_put(h, pattern, (size_t)(end - pattern));
        html_escape(h, *values++);
    }
    html_put(h, pattern, strlen(pattern));
}

/* To one, or with conn NULL to all in the channel. */
static int html_send(const html *h, azc_channel *channel, azc_conn *conn) {
    if (h->len > sizeof h->text) return AZC_ERR_FULL;
    if (conn) return azc_send_text(conn, h->text, h->len);
    return azc_broadcast(channel, NULL, h->text, h->len, NULL);
}

/* ==== The components ========================================================================== */

enum { MOST = 999999999 };

static long within(long n, long least, long most) {
    return n < least ? least : n > most ? most : n;
}

/* Everyone's. */
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

static int shared_send(azc_channel *channel, azc_conn *conn) {
    char count[24];
    snprintf(count, sizeof count, "%ld", shared.count);
    const char *values[] = {strlen(count) > 5 ? "long" : "", shared.what, count, shared.what};
    html h = {{0}, 0};
    html_draw(&h, shared_pattern, values);
    return html_send(&h, channel, conn);
}

/* Each visitor's own: azc_data of the connection. */
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
    html_draw(&h, yours_pattern, values);
    return html_send(&h, NULL, conn);
}

/* ==== The channel ============================================================================= */

/* A page that was here before tells what it had (data-keep above). It may say anything: it is the
   visitor's own, and kept within its range. */
static int counter_connect(azc_conn *conn) {
    visitor *me = azc_data(conn);
    const char *count = azc_query(conn, "count"), *step = azc_query(conn, "step");
    me->count = count ? within(strtol(count, NULL, 10), -MOST, MOST) : 0;
    me->step = step ? within(strtol(step, NULL, 10), 1, 10) : 1;
    int error = shared_send(NULL, conn);
    return error < 0 ? error : yours_send(conn);
}

static int shared_event(azc_conn *conn, long change) {
    shared.count = within(shared.count + change, -MOST, MOST);
    return shared_send(azc_channel_of(conn), NULL);
}

static int yours_event(azc_conn *conn, long direction) {
    visitor *me = azc_data(conn);
    me->count = within(me->count + direction * me->step, -MOST, MOST);
    return yours_send(conn);
}

/* What a page sends is {"event":"shared-what","value":"..."}: a name out of the patterns, and the
   element's value. */
static int counter_message(azc_conn *conn, const char *text, size_t len) {
    azc_json in;
    if (azc_json_read(&in, text, len) != AZC_OK) return AZC_ERR_JSON;
    azc_json event = azc_json_get(in, "event"), value = azc_json_get(in, "value");

    if (azc_json_equals(event, "shared-more")) return shared_event(conn, 1);
    if (azc_json_equals(event, "shared-less")) return shared_event(conn, -1);
    if (azc_json_equals(event, "yours-more")) return yours_event(conn, 1);
    if (azc_json_equals(event, "yours-less")) return yours_event(conn, -1);
    if (azc_json_equals(event, "shared-what")) {
        azc_json_string(value, shared.what, sizeof shared.what); /* what is too long is cut */
        return shared_send(azc_channel_of(conn), NULL);
    }
    if (azc_json_equals(event, "yours-step")) {
        char step[8];
        azc_json_string(value, step, sizeof step);
        ((visitor *)azc_data(conn))->step = within(strtol(step, NULL, 10), 1, 10);
        return yours_send(conn);
    }
    return AZC_ERR_APP;
}

/* ==== The program ============================================================================= */

static azc_server *server; /* global for the signal handler only */

static void stop(int signum) {
    (void)signum;
    azc_stop(server);
}

static void print_log(void *file, const char *message) {
    fprintf(file, "counter: %s\n", message);
}

/* The pieces of counter_page.h as one page. */
static void add_page(void) {
    static char page[16 * 1024];
    size_t len = 0;
    for (size_t i = 0; i < sizeof counter_page / sizeof *counter_page; i++) {
        size_t n = strlen(counter_page[i]);
        if (n > sizeof page - len) abort(); /* the page grew: make it larger */
        memcpy(page + len, counter_page[i], n);
        len += n;
    }
    azc_add_page(server, "/", "text/html; charset=utf-8", page, len);
}

int main(int argc, char **argv) {
    char *end = NULL;
    long port = argc > 1 ? strtol(argv[1], &end, 10) : 4000;
    if (argc > 2 || (end && (end == argv[1] || *end)) || port < 0 || port > 65535) {
        fprintf(stderr, "usage: counter [port], 0 (any free one) to 65535; 4000 when left out\n");
        return 2;
    }
    azc_config config = {0};
    config.port = (int)port;
    config.log = print_log;
    config.log_userdata = stderr;
    azc_channel_desc counter = {0};
    counter.path = "/counter";
    counter.data_size = sizeof(visitor);
    counter.on_connect = counter_connect;
    counter.on_message = counter_message;

    server = azc_create(&config);
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    azc_add_channel(server, &counter);
    add_page();
    if (azc_listen(server) == AZC_OK) printf("http://127.0.0.1:%d/\n", azc_port(server));
    fflush(stdout); /* it may be a pipe */
    int error = azc_run(server);
    if (error != AZC_OK) fprintf(stderr, "counter: %s\n", azc_error(server));
    azc_destroy(server);
    return error == AZC_OK ? 0 : 1;
}
