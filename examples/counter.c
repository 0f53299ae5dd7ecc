/* counter.c: live components. The server renders them as HTML, and the page sends clicks and input.

       cc -I. examples/counter.c -o counter && ./counter [[host:]port]

   Then open http://127.0.0.1:4000/ in two tabs: one counter is shared, the other belongs to the
   tab. The page is pages/counter.html, which `make pages` turns into counter_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "counter_page.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COUNT = 999999999 };

static long clamp(long n, long min, long max) {
    return n < min ? min : n > max ? max : n;
}

static const char *size_of(long n) { return n > 99999 || n < -9999 ? "long" : ""; }

/* ==== The counter that all visitors share ===================================================== */

static struct {
    long count;
    char what[4 * 40 + 1]; /* 40 characters */
} shared = {0, "cups of tea"};

static void shared_render(azc_live *live, azc_html *html) {
    (void)live;
    azc_html_format(html,
        "<h2>Everyone's %s</h2>"
        "<output aria-live=polite class='%s'>%ld</output>"
        "<div class=pair>"
        "<button live-click=less aria-label='One less'>−</button>"
        "<button live-click=more aria-label='One more'>+</button>"
        "</div>"
        "<label>What are we counting? <input live-input=what maxlength=40 value='%s'"
        " autocomplete=off></label>",
        shared.what, size_of(shared.count), shared.count, shared.what);
}

static int shared_event(azc_live *live, const char *event, azc_json value) {
    if (strcmp(event, "more") == 0) shared.count = clamp(shared.count + 1, -MAX_COUNT, MAX_COUNT);
    else if (strcmp(event, "less") == 0)
        shared.count = clamp(shared.count - 1, -MAX_COUNT, MAX_COUNT);
    else if (strcmp(event, "what") == 0)
        azc_json_string(value, shared.what, sizeof shared.what); /* cut if too long */
    else return AZC_ERR_APP;
    return azc_live_refresh_all(azc_live_channel(live), "shared");
}

/* ==== The counter of one tab ================================================================== */

typedef struct visitor {
    long count, step;
} visitor;

static int yours_mount(azc_live *live, azc_json args) {
    visitor *me = azc_live_data(live);
    (void)args;
    me->step = 1;
    return AZC_OK;
}

static void yours_render(azc_live *live, azc_html *html) {
    const visitor *me = azc_live_data(live);
    azc_html_format(html,
        "<h2>Yours alone</h2>"
        "<output aria-live=polite class='%s'>%ld</output>"
        "<div class=pair>"
        "<button live-click=less aria-label='%ld less'>− %ld</button>"
        "<button live-click=more aria-label='%ld more'>+ %ld</button>"
        "</div>"
        "<label>In steps of %ld <input live-input=step type=range min=1 max=10 value=%ld></label>",
        size_of(me->count), me->count, me->step, me->step, me->step, me->step, me->step, me->step);
}

/* The page renders nothing and decides nothing: what it may send is checked here. */
static int yours_event(azc_live *live, const char *event, azc_json value) {
    visitor *me = azc_live_data(live);
    char step[8];
    if (strcmp(event, "more") == 0) me->count = clamp(me->count + me->step, -MAX_COUNT, MAX_COUNT);
    else if (strcmp(event, "less") == 0)
        me->count = clamp(me->count - me->step, -MAX_COUNT, MAX_COUNT);
    else if (strcmp(event, "step") == 0) {
        azc_json_string(value, step, sizeof step);
        me->step = clamp(strtol(step, NULL, 10), 1, 10);
    } else return AZC_ERR_APP;
    return AZC_OK;
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
    azc_channel *channel = azc_add_channel(server, &counter);

    azc_live_desc everyones = {0};
    everyones.name = "shared";
    everyones.on_event = shared_event;
    everyones.on_render = shared_render;
    azc_add_live(channel, &everyones);

    azc_live_desc yours = {0};
    yours.name = "yours";
    yours.data_size = sizeof(visitor);
    yours.on_mount = yours_mount;
    yours.on_event = yours_event;
    yours.on_render = yours_render;
    azc_add_live(channel, &yours);

    azc_add_page(server, "/", "text/html; charset=utf-8", counter_page, sizeof counter_page);
    azc_add_client(server, "/azchan.js");
    azc_add_live_script(server, "/azlive.js");
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
