/* live_server.c: the server of live.mjs: its page has components of three kinds.
 *
 *     live_server [host:]port [grace_ms] */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include <stdio.h>
#include <stdlib.h>

static const char page[] =
    "<!doctype html><link rel=icon href=data:,><title>live</title>"
    "<main><div live=box id=one data-name=Ada></div><div live=box id=two></div>"
    "<div live=list></div><p live=life></p></main>"
    "<script src=azchan.js></script><script src=azlive.js></script><script>"
    "const channel = globalThis.channel = new AzChannel('live', {least: 20, most: 100});"
    "new AzLive(channel);</script>";

/* ---- How many were mounted and unmounted ---- */

static int mounted, unmounted;

static void life_render(azc_live *live, azc_html *html) {
    (void)live;
    azc_html_format(html, "%d %d", mounted, unmounted);
}

static void box_unmount(azc_live *live) {
    unmounted++;
    azc_live_refresh_all(azc_live_channel(live), "life");
}

/* ---- A box: each sort of event, its newest one in words, and a box within it ---- */

typedef struct box {
    int n, checked, inner;
    char name[80], said[200];
} box;

static int box_mount(azc_live *live, azc_json args) {
    box *b = (box *)azc_live_data(live);
    azc_json_string(azc_json_get(args, "name"), b->name, sizeof b->name);
    mounted++;
    return azc_live_refresh_all(azc_live_channel(live), "life");
}

static int box_event(azc_live *live, const char *event, azc_json value) {
    box *b = (box *)azc_live_data(live);
    snprintf(b->said, sizeof b->said, "%s %.*s", event, (int)value.len,
             value.text != NULL ? value.text : "");
    if (strcmp(event, "add") == 0) b->n++;
    if (strcmp(event, "inner") == 0) b->inner = !b->inner;
    if (strcmp(event, "name") == 0) azc_json_string(value, b->name, sizeof b->name);
    if (strcmp(event, "check") == 0) azc_json_bool(value, &b->checked);
    return AZC_OK;
}

static void box_render(azc_live *live, azc_html *html) {
    const box *b = (const box *)azc_live_data(live);
    azc_html_format(html,
        "<h2>%s</h2><button class=add live-click=add value='\"2\"'>%d</button>"
        "<button class=toggle live-click=inner>Inner</button>"
        "<input class=name live-input=name live-key='up ArrowUp PageUp' value='%s'>"
        "<input class=check type=checkbox live-input=check%s><input class=any live-key=any>"
        "<form live-submit=save><input name=a><input name=b value=''><button>Save</button></form>"
        "<pre>%s</pre>", b->name, b->n, b->name, b->checked ? " checked" : "", b->said);
    if (b->inner) azc_html_put(html, "<div live=box id=inner data-name=inside></div>");
}

/* ---- A list that all pages share: its order is a string of letters ---- */

static char order[27] = "abc";

static int list_event(azc_live *live, const char *event, azc_json value) {
    if (strcmp(event, "order") == 0) azc_json_string(value, order, sizeof order);
    return azc_live_refresh_all(azc_live_channel(live), "list");
}

static void list_render(azc_live *live, azc_html *html) {
    (void)live;
    azc_html_put(html, "<input class=order live-input=order><ul>");
    for (const char *p = order; *p; p++) {
        char id[2] = {*p, 0};
        azc_html_format(html, " <li id=item-%s><input class=%s%s> of %s</li>\n", id, id,
                        *p == 'f' ? " autofocus" : "", order);
    }
    azc_html_put(html, "</ul>");
}

int main(int argc, char **argv) {
    azc_config config = {0};
    config.host = argc > 1 ? argv[1] : "0";
    azc_channel_desc desc = {0};
    desc.path = "/live";

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_NOTICE);
    azc_stop_on_signals(server);
    azc_channel *channel = azc_add_channel(server, &desc);
    azc_live_desc life = {0}, a_box = {0}, list = {0};
    life.name = "life";
    life.on_render = life_render;
    azc_add_live(channel, &life);
    a_box.name = "box";
    a_box.data_size = sizeof(box);
    a_box.grace_ms = argc > 2 ? atoi(argv[2]) : 0;
    a_box.on_mount = box_mount;
    a_box.on_event = box_event;
    a_box.on_render = box_render;
    a_box.on_unmount = box_unmount;
    azc_add_live(channel, &a_box);
    list.name = "list";
    list.on_event = list_event;
    list.on_render = list_render;
    azc_add_live(channel, &list);
    azc_add_client(server, "/azchan.js");
    azc_add_live_script(server, "/azlive.js");
    azc_add_page(server, "/", "text/html; charset=utf-8", page, sizeof page - 1);
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
