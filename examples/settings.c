/* settings.c: a device's settings behind a login. A change on one page appears on all of them, and
   so does the progress of a firmware upload. All but the upload works without JavaScript.

       cc -I. examples/settings.c -o settings && PASSWORD=secret ./settings [[host:]port [seconds]]

   Then open http://127.0.0.1:4000/ in two tabs. Without PASSWORD the program makes one and prints
   it. A session lasts an hour, or so many seconds. The page is pages/settings.html, which `make
   pages` turns into settings_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "settings_page.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 4 * 40, MOST = 16 << 20, SESSIONS = 8, WRONG = 5 }; /* NAME, MOST: bytes */

static azc_channel *pages;

/* ==== The device ============================================================================== */

static struct {
    char name[NAME + 1];
    int level;
} settings = {"Lamp", 50};

static struct {
    const char *state; /* "none", "going", "done" or "lost" */
    long got, size;
} firmware = {"none", 0, 0};

/* Send the settings to one page, or with conn NULL to all. */
static int send_settings(azc_conn *conn) {
    char buf[6 * NAME + 100]; /* a character may become \u0001 */
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "settings");
    azc_put_string(&w, "name", settings.name);
    azc_put_int(&w, "level", settings.level);
    return conn ? azc_send_json(conn, &w) : azc_broadcast_json(pages, NULL, &w, NULL);
}

/* The same for the firmware: to all at most ten times a second, and always the last. */
static int send_firmware(azc_conn *conn) {
    char buf[200];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_string(&w, "type", "firmware");
    azc_put_string(&w, "state", firmware.state);
    azc_put_int(&w, "got", firmware.got);
    azc_put_int(&w, "size", firmware.size);
    azc_message m = {0};
    m.json = &w;
    m.to = conn;
    m.key = 1;
    m.period_ms = conn ? 0 : 100;
    return azc_send(pages, &m);
}

/* ==== Sessions ================================================================================ */

typedef struct session {
    char token[33]; /* "": unused; also the room of its pages in the channel */
    uint64_t timer;
} session;

static session sessions[SESSIONS];
static int lifetime = 3600; /* s */

static session *session_of(azc_conn *conn) {
    const char *token = azc_cookie(conn, "session");
    for (int i = 0; i < SESSIONS; i++) {
        if (azc_equal(sessions[i].token, token)) return &sessions[i];
    }
    return NULL;
}

/* Also the task of its timer. The page loads itself again when its channel is closed with 1008. */
static void session_end(azc_server *server, void *arg) {
    session *s = arg;
    if (s->token[0] == 0) return;
    for (azc_cursor c = azc_members(pages, s->token); azc_cursor_next(&c);) {
        azc_close(c.conn, 1008, "the session is over");
    }
    azc_cancel(server, s->timer);
    s->token[0] = 0;
}

/* The place of the oldest session is the next to be used. NULL: no memory or random bytes. */
static session *session_begin(azc_server *server) {
    static unsigned next;
    session *s = &sessions[next++ % SESSIONS];
    session_end(server, s);
    s->timer = azc_after(server, lifetime * 1000, session_end, s);
    if (s->timer != 0 && azc_token(server, s->token, sizeof s->token) == AZC_OK) return s;
    azc_cancel(server, s->timer);
    return NULL;
}

/* ==== The page ================================================================================ */

static char *put_escaped(char *to, const char *text) {
    for (; *text; text++) {
        const char *as = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : "&quot;";
        if (strchr("&<\"", *text) == NULL) *to++ = *text;
        else to = strcpy(to, as) + strlen(as);
    }
    return to;
}

/* Answer with the page: the settings, or the login. Values take the places of {{...}}, in order. */
static int show(azc_conn *conn, int status, const char *note) {
    static char html[sizeof settings_page + 6 * NAME + 300];
    const char *p = (const char *)settings_page, *end = p + sizeof settings_page;
    char level[12], *to = html;
    int in = session_of(conn) != NULL;
    snprintf(level, sizeof level, "%d", in ? settings.level : 0);
    const char *values[] = {in ? "in" : "out", note, in ? settings.name : "", level};
    for (int n = 0; p < end; p++) {
        if (p[0] != '{' || p[1] != '{') {
            *to++ = *p;
            continue;
        }
        to = put_escaped(to, values[n++]);
        while (p[0] != '}' || p[-1] != '}') p++;
    }
    azc_reply_header(conn, "Cache-Control", "no-store"); /* nothing is left after the logout */
    return azc_reply(conn, status, "text/html; charset=utf-8", html, (size_t)(to - html));
}

static int page_get(azc_conn *conn, void *userdata) {
    (void)userdata;
    return show(conn, 200, "");
}

/* ==== Requests ================================================================================ */

/* All but these needs a session, the channel too. */
static int guard(azc_conn *conn, void *userdata) {
    static const char *const open[] = {"/", "/login", "/azchan.js"};
    (void)userdata;
    for (size_t i = 0; i < sizeof open / sizeof *open; i++) {
        if (strcmp(azc_path(conn), open[i]) == 0) return AZC_OK;
    }
    return session_of(conn) != NULL ? AZC_OK : show(conn, 403, "Please log in.");
}

/* Wrong passwords of this minute: addresses share 64 counters, so that memory is bounded. */
static unsigned char wrong[64];

static void forget_wrong(azc_server *server, void *arg) {
    (void)server, (void)arg;
    memset(wrong, 0, sizeof wrong);
}

static int login_post(azc_conn *conn, void *userdata) {
    unsigned hash = 0;
    for (const char *p = azc_peer(conn); *p; p++) hash = hash * 31 + (unsigned char)*p;
    if (wrong[hash % 64] == WRONG) return show(conn, 429, "Too many attempts: wait a minute.");
    if (!azc_equal(userdata, azc_form(conn, "password"))) {
        wrong[hash % 64]++;
        return show(conn, 403, "Wrong password.");
    }
    session *s = session_begin(azc_server_of(conn));
    if (s == NULL) return 503;
    azc_set_cookie(conn, "session", s->token, lifetime, 0);
    return azc_redirect(conn, 303, ".");
}

static int logout_post(azc_conn *conn, void *userdata) {
    (void)userdata;
    session_end(azc_server_of(conn), session_of(conn));
    azc_set_cookie(conn, "session", NULL, 0, 0);
    return azc_redirect(conn, 303, ".");
}

static int settings_post(azc_conn *conn, void *userdata) {
    const char *name = azc_form(conn, "name"), *level = azc_form(conn, "level");
    (void)userdata;
    if (name == NULL || level == NULL || strlen(name) > NAME) return 400;
    strcpy(settings.name, name);
    settings.level = atoi(level) < 0 ? 0 : atoi(level) > 100 ? 100 : atoi(level);
    send_settings(NULL);
    return azc_redirect(conn, 303, ".");
}

/* This counts the bytes: write them where it says so, and check a signature before they run. */
static int firmware_part(azc_conn *conn, const void *data, size_t len, int flags) {
    (void)data;
    if (flags & AZC_PART_FIRST) {
        const char *size = azc_header(conn, "Content-Length");
        if (size == NULL) return 411;
        if (strtoull(size, NULL, 10) > MOST) return 413;
        if (strcmp(firmware.state, "going") == 0) return 409; /* one at a time */
        firmware.state = "going";
        firmware.got = 0;
        firmware.size = atol(size);
    }
    firmware.got += (long)len; /* write len bytes of data here */
    if (flags & AZC_PART_LOST) firmware.state = "lost";
    if (flags & AZC_PART_LAST) firmware.state = "done";
    send_firmware(NULL);
    return flags & AZC_PART_LAST ? 204 : AZC_OK;
}

static int page_connect(azc_conn *conn) {
    int error = azc_join(conn, session_of(conn)->token); /* the guard found it */
    if (error == AZC_OK) error = send_settings(conn);
    return error == AZC_OK ? send_firmware(conn) : error;
}

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;
    config.max_body = 4096;
    if (argc > 2) lifetime = atoi(argv[2]);

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);

    char *password = getenv("PASSWORD"), made[23] = "";
    if (password == NULL && azc_token(server, password = made, sizeof made) == AZC_OK) {
        fprintf(stderr, "The password is %s, because PASSWORD is not set\n", made);
    }
    azc_channel_desc desc = {0};
    desc.path = "/live";
    desc.on_connect = page_connect;
    pages = azc_add_channel(server, &desc);

    azc_use(server, guard, NULL);
    azc_add_handler(server, "/", page_get, NULL);
    azc_add_endpoint(server, "POST", "/login", login_post, password);
    azc_add_endpoint(server, "POST", "/logout", logout_post, NULL);
    azc_add_endpoint(server, "POST", "/settings", settings_post, NULL);
    azc_add_upload(server, "PUT", "/firmware", firmware_part, 0, NULL);
    azc_add_client(server, "/azchan.js");
    azc_every(server, 60000, forget_wrong, NULL);
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
