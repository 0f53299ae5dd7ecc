/* todo.c: a to-do list that several people share. The server renders it; each page has its own
   filter, and its own item to edit, and keeps both when its connection breaks.

       cc -I. examples/todo.c -o todo && ./todo [[host:]port]

   Then open http://127.0.0.1:4000/ in two tabs. The page is pages/todo.html, which `make pages`
   turns into todo_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "todo_page.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ==== The list, in the order of its items' ids ================================================ */

enum { MOST = 100 };

typedef struct item {
    int id, done;
    char text[4 * 80 + 1]; /* 80 characters */
} item;

static struct {
    item items[MOST];
    int count, last_id;
} list;

static item *find(int id) {
    for (int i = 0; i < list.count; i++)
        if (list.items[i].id == id) return &list.items[i];
    return NULL;
}

/* What was typed, cut if it is too long. Returns 0 if there is nothing to see in it. */
static int read_text(azc_json form, char text[sizeof((item *)0)->text]) {
    azc_json_string(azc_json_get(form, "text"), text, sizeof((item *)0)->text);
    return text[strspn(text, " \t\r\n")] != 0;
}

static void add(azc_json form) {
    item *it = &list.items[list.count];
    if (list.count == MOST || !read_text(form, it->text)) return;
    it->id = ++list.last_id;
    it->done = 0;
    list.count++;
}

static void save(item *it, azc_json form) {
    char text[sizeof it->text];
    if (read_text(form, text)) memcpy(it->text, text, sizeof text);
}

static void remove_one(const item *it) {
    size_t i = (size_t)(it - list.items);
    list.count--;
    memmove(&list.items[i], &list.items[i + 1], ((size_t)list.count - i) * sizeof *it);
}

/* ==== One page's view of it =================================================================== */

typedef struct view {
    char show[5]; /* "", "open" or "done" */
    int editing;  /* the id of an item, or 0 */
} view;

/* Pages may send anything, also an id that another page has just removed. */
static int todo_event(azc_live *live, const char *event, azc_json value) {
    view *mine = azc_live_data(live);
    char word[16];
    azc_json_string(value, word, sizeof word);
    item *it = find(strcmp(event, "save") == 0 ? mine->editing : atoi(word));

    if (strcmp(event, "show") == 0) snprintf(mine->show, sizeof mine->show, "%.4s", word);
    else if (strcmp(event, "edit") == 0) mine->editing = it != NULL ? it->id : 0;
    else if (strcmp(event, "cancel") == 0) mine->editing = 0;
    else if (strcmp(event, "add") == 0) add(value);
    else if (strcmp(event, "tick") == 0 && it != NULL) it->done = !it->done;
    else if (strcmp(event, "remove") == 0 && it != NULL) remove_one(it);
    else if (strcmp(event, "save") == 0) {
        if (it != NULL) save(it, value);
        mine->editing = 0;
    }
    return azc_live_refresh_all(azc_live_channel(live), "todo");
}

static void render_item(const item *it, azc_html *html) {
    azc_html_format(html,
        "<li id=item-%d><label><input type=checkbox live-click=tick value=%d%s> <span>%s</span>"
        "</label><button live-click=edit value=%d aria-label='Edit %s'>Edit</button>"
        "<button live-click=remove value=%d aria-label='Remove %s'>×</button></li>",
        it->id, it->id, it->done ? " checked" : "", it->text, it->id, it->text, it->id, it->text);
}

/* When "Edit" goes, with the focus on it, the focus moves to the element with autofocus. */
static void render_edit(const item *it, azc_html *html) {
    azc_html_format(html,
        "<li id=item-%d><form live-submit=save>"
        "<input name=text value='%s' aria-label='What is to be done?' live-key='cancel Escape'"
        " maxlength=80 required autocomplete=off autofocus>"
        "<button>Save</button><button type=button live-click=cancel>Cancel</button></form></li>",
        it->id, it->text);
}

static void render_show(const view *mine, azc_html *html, const char *show, const char *words) {
    azc_html_format(html, "<button live-click=show value='%s' aria-pressed=%s>%s</button>", show,
                    strcmp(mine->show, show) == 0 ? "true" : "false", words);
}

static void todo_render(azc_live *live, azc_html *html) {
    const view *mine = azc_live_data(live);
    int open = 0;
    azc_html_format(html,
        "<form live-submit=add><input name=text aria-label='What is to be done?'"
        " placeholder='What is to be done?' maxlength=80 required autocomplete=off%s>"
        "<button>Add</button></form><ul>",
        list.count == MOST ? " disabled" : mine->editing ? "" : " autofocus");
    for (int i = 0; i < list.count; i++) {
        const item *it = &list.items[i];
        open += !it->done;
        if (it->id == mine->editing) render_edit(it, html);
        else if (strcmp(mine->show, it->done ? "open" : "done") != 0) render_item(it, html);
    }
    azc_html_put(html, "</ul><footer><div role=group aria-label=Show>");
    render_show(mine, html, "", "All");
    render_show(mine, html, "open", "Open");
    render_show(mine, html, "done", "Done");
    azc_html_format(html, "</div><p role=status>%d of %d open%s</p></footer>", open, list.count,
                    list.count == MOST ? ", and no room for more" : "");
}

/* ==== The program ============================================================================= */

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);

    azc_channel_desc channel = {0};
    channel.path = "/todo";
    azc_live_desc todo = {0};
    todo.name = "todo";
    todo.data_size = sizeof(view);
    todo.on_event = todo_event;
    todo.on_render = todo_render;
    azc_add_live(azc_add_channel(server, &channel), &todo);

    azc_add_page(server, "/", "text/html; charset=utf-8", todo_page, sizeof todo_page);
    azc_add_client(server, "/azchan.js");
    azc_add_live_script(server, "/azlive.js");
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
