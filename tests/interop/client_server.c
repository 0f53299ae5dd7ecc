/* client_server.c: the server of client.mjs.
 *
 *     client_server [host:]port [ping_ms pong_ms | news [file [kept]]]
 *
 * At /t a message's "ask" says what it does. At /news there is a number every 3 ms, and the newest
 * are kept, 1,000 of them if it is not said. The file has as many bytes as there were numbers: it
 * outlives a kill. The page notes what it is told. */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include <stdio.h>
#include <stdlib.h>

/* ?token= must be good, if there is one; old tokens get 401. */
static int on_upgrade(azc_conn *conn) {
    const char *token = azc_query(conn, "token"), *user = azc_query(conn, "user");
    if (token != NULL && strcmp(token, "good") != 0) return 401;
    return user != NULL ? azc_set_user(conn, user) : AZC_OK;
}

static int on_connect(azc_conn *conn) {
    if (azc_user(conn) == NULL) return AZC_OK;
    int error = azc_join(conn, "tea");
    return error == AZC_OK ? azc_send_users(conn, "tea") : error;
}

static int on_message(azc_conn *conn, const char *text, size_t len) {
    azc_json doc, ref;
    int64_t code;
    char buf[512];
    int error = azc_json_read(&doc, text, len);
    if (error != AZC_OK) return error;
    ref = azc_json_get(doc, "ref");
    azc_json ask = azc_json_get(doc, "ask");
    if (azc_json_equals(ask, "fail")) return AZC_ERR_APP;
    if (azc_json_equals(ask, "nothing")) return AZC_OK;
    if (azc_json_equals(ask, "batch")) return azc_send_text(conn, "[{\"type\":\"n\",\"n\":1},"
                                                            "{\"type\":\"n\",\"n\":2}]", AZC_NUL);
    if (azc_json_equals(ask, "close")) {
        error = azc_json_int(azc_json_get(doc, "code"), &code);
        return error == AZC_OK ? azc_close(conn, (int)code, "asked") : error;
    }
    if (azc_json_equals(ask, "leave")) return azc_leave_all(conn);
    azc_writer w = azc_put_begin(buf, sizeof buf);
    if (azc_json_equals(ask, "refuse")) {
        azc_put_string(&w, "type", "error");
        azc_put_string(&w, "code", "REFUSED");
    } else {
        azc_put_string(&w, "type", "got");
        azc_put_json(&w, "n", azc_json_get(doc, "n"));
    }
    if (ref.type != AZC_JSON_NONE) azc_put_json(&w, "ref", ref);
    return azc_send_json(conn, &w);
}

/* ---- News ---- */

static struct {
    azc_channel *channel;
    FILE *file;
    int count, kept;
} news = {NULL, NULL, 0, 1000};

static const char page[] =
    "<!doctype html><link rel=icon href=data:,><title>news</title>"
    "<script src=azchan.js></script><script>"
    "const noted = globalThis.noted = {list: [], fresh: 0, errors: [], states: []};"
    "const chat = globalThis.chat = new AzChannel('news', {least: 20, most: 100});"
    "chat.on(':state', ({state}) => noted.states.push(state));"
    "chat.on(':room', ({fresh}) => { if (fresh) noted.list = [], noted.fresh++; });"
    "chat.on('news', ({n}) => {"
    "    const last = noted.list.at(-1);"
    "    if (last !== undefined && n !== last + 1) noted.errors.push(n + ' after ' + last);"
    "    noted.list.push(n);"
    "});</script>";

static int news_connect(azc_conn *conn) { return azc_join(conn, "news"); }

static void news_say(int n) {
    char text[40];
    snprintf(text, sizeof text, "{\"type\":\"news\",\"n\":%d}", n);
    azc_broadcast(news.channel, "news", text, AZC_NUL, NULL);
}

static void news_tick(azc_server *server, void *arg) {
    (void)server, (void)arg;
    if (news.file != NULL) fputc('n', news.file), fflush(news.file);
    news_say(++news.count);
}

static void news_begin(azc_server *server, const char *file) {
    azc_channel_desc desc = {0};
    desc.path = "/news";
    desc.on_upgrade = on_upgrade;
    desc.on_connect = news_connect;
    news.channel = azc_add_channel(server, &desc);
    azc_set_history(news.channel, "news", (size_t)news.kept, (size_t)news.kept * 100);
    if (file != NULL && (news.file = fopen(file, "ab")) != NULL) {
        fseek(news.file, 0, SEEK_END);
        news.count = (int)ftell(news.file);
    }
    for (int n = news.count > news.kept ? news.count - news.kept : 0; n < news.count;) news_say(++n);
    azc_every(server, 3, news_tick, NULL);
    azc_add_page(server, "/", "text/html; charset=utf-8", page, sizeof page - 1);
}

int main(int argc, char **argv) {
    azc_config config = {0};
    int beats = argc > 3 && strcmp(argv[2], "news") != 0;
    config.host = argc > 1 ? argv[1] : "0";
    config.ping_ms = beats ? atoi(argv[2]) : 0;
    config.pong_ms = beats ? atoi(argv[3]) : 0;
    if (argc > 4) news.kept = atoi(argv[4]);
    if (argc > 4) config.max_backlog = (size_t)news.kept * 200;
    azc_channel_desc desc = {0};
    desc.path = "/t";
    desc.subprotocols = "v2, v1";
    desc.on_upgrade = on_upgrade;
    desc.on_connect = on_connect;
    desc.on_message = on_message;
    desc.on_binary = azc_send_binary;

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_NOTICE);
    azc_stop_on_signals(server);
    azc_on_presence(azc_add_channel(server, &desc), azc_send_presence);
    azc_add_client(server, "/azchan.js");
    if (argc > 2 && !beats) news_begin(server, argc > 3 ? argv[3] : NULL);
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "ws", "/t"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
