/* notify.c: what is posted to this server appears on every open page, at once.

       cc -I. examples/notify.c -o notify && ./notify [[host:]port]

   Open http://127.0.0.1:4000/ in some tabs, and then, in a shell:

       curl -d 'text=The build is done' http://127.0.0.1:4000/notify
       curl -d 'text=It failed' -d level=alarm http://127.0.0.1:4000/notify
       curl --json '{"text":"21.5 degrees"}' http://127.0.0.1:4000/notify

   The form on the page posts the same way, also without JavaScript. New pages get the last notes.
   Where WebSocket is blocked, the page gets them from GET /events; so does `curl -N`.
   The page is pages/notify.html, which `make pages` turns into notify_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "notify_page.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { TEXT = 500, NOTES = 20 }; /* bytes of a note; how many a new page gets */
enum { JSON = 6 * TEXT + 100 };  /* a character may become \u0001 */

/* Server-sent events, for pages that cannot open a WebSocket. */
enum { STREAMS = 64 };
static uint64_t streams[STREAMS];     /* the number of each request; 0: free */
static char events[NOTES][JSON + 16]; /* the last notes, in a ring */
static unsigned event_count;

/* A stream that has ended, or is too slow, loses its place. A page whose stream ends comes back. */
static void events_send(azc_server *server, const char *event) {
    for (int i = 0; i < STREAMS; i++) {
        azc_conn *conn = azc_find(server, streams[i]);
        if (azc_reply_part(conn, event, AZC_NUL) == AZC_OK) continue;
        azc_reply_end(conn);
        streams[i] = 0;
    }
}

/* A comment, because only what is sent shows that a peer is dead. */
static void events_beat(azc_server *server, void *arg) {
    (void)arg;
    events_send(server, ":\n\n");
}

static int events_get(azc_conn *conn, void *userdata) {
    unsigned i = 0, n = event_count < NOTES ? 0 : event_count - NOTES;
    (void)userdata;
    while (i < STREAMS && azc_find(azc_server_of(conn), streams[i]) != NULL) i++;
    if (i == STREAMS) return 503;
    azc_reply_header(conn, "Cache-Control", "no-store");
    azc_reply_header(conn, "X-Accel-Buffering", "no"); /* nginx passes each event on at once */
    int error = azc_reply_begin(conn, 200, "text/event-stream", AZC_CHUNKED, NULL, NULL);
    streams[i] = azc_id(conn);
    for (; error == AZC_OK && n < event_count; n++)
        error = azc_reply_part(conn, events[n % NOTES], AZC_NUL);
    return error;
}

/* Send a note to every page. Returns the status for whoever posted it. */
static int notify(azc_conn *conn, azc_channel *notes, const char *text, int alarm) {
    char buf[JSON], *event = events[event_count % NOTES];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    if (*text == 0 || strlen(text) > TEXT) return 400;
    azc_put_string(&w, "type", "note");
    azc_put_string(&w, "text", text);
    azc_put_bool(&w, "alarm", alarm);
    azc_put_int(&w, "at", (int64_t)time(NULL));
    if (azc_broadcast_json(notes, "all", &w, NULL) != AZC_OK) return 503;
    snprintf(event, sizeof events[0], "data: %s\n\n", buf);
    event_count++;
    events_send(azc_server_of(conn), event);
    return AZC_OK;
}

/* POST /notify of a script: {"text":"...","level":"..."} */
static int notify_json(azc_conn *conn, azc_channel *notes) {
    char text[TEXT + 1];
    size_t len;
    const char *body = azc_body(conn, &len);
    azc_json note;
    if (azc_json_read(&note, body, len) != AZC_OK) return 400;
    if (azc_json_string(azc_json_get(note, "text"), text, sizeof text) < 0) return 400;
    int status = notify(conn, notes, text, azc_json_equals(azc_json_get(note, "level"), "alarm"));
    return status != AZC_OK ? status : 204;
}

/* POST /notify: a form, or JSON. A browser that posted the page's form goes back to the page. */
static int notify_post(azc_conn *conn, void *userdata) {
    azc_channel *notes = (azc_channel *)userdata;
    const char *type = azc_header(conn, "Content-Type"), *accept = azc_header(conn, "Accept");
    if (type != NULL && strcmp(type, "application/json") == 0) return notify_json(conn, notes);
    const char *text = azc_form(conn, "text"), *level = azc_form(conn, "level");
    if (text == NULL) return 400;
    int status = notify(conn, notes, text, level != NULL && strcmp(level, "alarm") == 0);
    if (status != AZC_OK) return status;
    if (accept == NULL || strstr(accept, "text/html") == NULL) return 204;
    azc_reply_header(conn, "Location", ".");
    return 303;
}

static int notes_connect(azc_conn *conn) {
    return azc_join(conn, "all");
}

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;
    config.max_body = 2048;

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);

    azc_channel_desc desc = {0};
    desc.path = "/notes";
    desc.on_connect = notes_connect;
    azc_channel *notes = azc_add_channel(server, &desc);
    azc_set_history(notes, "all", NOTES, 16 << 10);

    azc_add_endpoint(server, "POST", "/notify", notify_post, notes);
    azc_add_page(server, "/", "text/html; charset=utf-8", notify_page, sizeof notify_page);
    azc_add_client(server, "/azchan.js");
    azc_add_handler(server, "/events", events_get, NULL);
    azc_every(server, 20000, events_beat, NULL);
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
