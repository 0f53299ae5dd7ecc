/* draw.c: the picture of a run of bench.c: draw <results >bench.svg
 *
 * A group of bars for each work, each group with a scale of its own; azchan.h in colour. Plain
 * SVG: no script, no font, nothing fetched; its colours follow the reader's light or dark. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 200, WIDTH = 800, COLUMN = 370, LEFT = 20, NAME = 92, BAR = 168, LINE = 17,
       TOP = 74 };

typedef struct row {
    char key[40], who[24], label[100];
    double figure;
} row;

static row rows[MAX_ROWS];
static int row_count;

static void read_rows(void) {
    char line[300];
    while (row_count < MAX_ROWS && fgets(line, sizeof line, stdin) != NULL) {
        row *r = &rows[row_count];
        row_count += sscanf(line, "%39[^\t]\t%23[^\t]\t%lf\t%*f\t%99[^\n]", r->key, r->who,
                            &r->figure, r->label) == 4;
    }
}

static const row *find(const char *key, const char *who) {
    for (int i = 0; i < row_count; i++)
        if (strcmp(rows[i].key, key) == 0 && strcmp(rows[i].who, who) == 0) return &rows[i];
    return NULL;
}

static void bar(double x, double y, const char *who, double share, const char *text) {
    const char *class = strcmp(who, "azchan") == 0 ? "azchan" : strcmp(who, "floor") == 0 ? "floor"
                                                                                          : "peer";
    printf("<text x='%.0f' y='%.1f' class='name%s'>%s</text>", x + NAME - 6, y + 11,
           strcmp(class, "azchan") == 0 ? " strong" : "",
           strcmp(who, "azchan") == 0 ? "azchan.h" : who);
    printf("<rect x='%.0f' y='%.1f' width='%.1f' height='12' rx='2' class='%s'/>", x + NAME, y + 1,
           share * BAR < 2 ? 2 : share * BAR, class);
    printf("<text x='%.1f' y='%.1f' class='value%s'>%s</text>\n", x + NAME + share * BAR + 6,
           y + 11, strcmp(class, "azchan") == 0 ? " strong" : "", text);
}

static void format(char *out, size_t size, const char *unit, double figure, int ratio) {
    if (ratio) snprintf(out, size, figure < 9.95 ? "%.2f &#215;" : "%.0f &#215;", figure);
    else if (unit[0] == 'K' && figure >= 1024) snprintf(out, size, "%.1f MiB", figure / 1024);
    else snprintf(out, size, figure < 9.95 ? "%.2f %s" : "%.0f %s", figure, unit);
}

/* One group of bars. The floor's figure is in unit; the others' are ratios to it, if there is
 * one. Returns its height, 0 if there was nothing to draw. */
static double group(double x, double y, const char *key, const char *title, const char *unit) {
    static const char *const names[] = {"floor", "azchan", "bun", "libwebsockets", "ws"};
    enum { NAMES = sizeof names / sizeof *names };
    const row *floor = find(key, "floor");
    double most = floor != NULL ? 1 : 0, at = y + 24;
    for (int i = 1; i < NAMES; i++) {
        const row *r = find(key, names[i]);
        if (r != NULL && r->figure > most) most = r->figure;
    }
    if (find(key, "azchan") == NULL || most <= 0) return 0;
    printf("<text x='%.0f' y='%.1f' class='title'>%s</text>\n", x, y + 14, title);
    for (int i = 0; i < NAMES; i++) {
        char text[40];
        const row *r = find(key, names[i]);
        if (r == NULL) continue;
        format(text, sizeof text, unit, r->figure, floor != NULL && i > 0);
        bar(x, at, names[i], (i == 0 ? 1 : r->figure) / most, text);
        at += LINE;
    }
    return at - y + 18;
}

static const char style[] =
    "<style>text{font:12px system-ui,sans-serif;fill:#24292f}.head{font-size:17px;font-weight:600}"
    ".title{font-weight:600}.note,.value{fill:#57606a}.name{text-anchor:end;fill:#57606a}"
    ".strong{fill:#24292f;font-weight:600}.azchan{fill:#1f6feb}.floor{fill:#8c959f}"
    ".peer{fill:#d0d7de}@media(prefers-color-scheme:dark){text,.strong{fill:#e6edf3}"
    ".note,.value,.name{fill:#9198a1}.strong{fill:#e6edf3}.azchan{fill:#4493f8}"
    ".floor{fill:#768390}.peer{fill:#444c56}}</style>\n";

int main(void) {
    static const struct {
        const char *key, *title, *unit;
    } groups[] = {
        {"echo", "Echo, 64 bytes, one at a time", "&#181;s"},
        {"burst", "Echo, 64 bytes, bursts of 32", "&#181;s"},
        {"large", "Echo, 65,000 bytes", "&#181;s"},
        {"handshake", "Handshake", "&#181;s"},
        {"room 1", "To a room of 500, one message at a time", "&#181;s"},
        {"room 4", "To a room of 500, 4 messages in flight", "&#181;s"},
        {"room 16", "To a room of 500, 16 messages in flight", "&#181;s"},
        {"room 64", "To a room of 500, 64 messages in flight", "&#181;s"},
        {"idle memory", "Memory of an idle connection, in a room", "bytes"},
        {"stalled memory", "Memory for 64 KiB to 1,000, half stalled", "KiB"},
    };
    double y[2] = {TOP, TOP};
    char body_height[16];
    read_rows();
    /* Two groups of at most five bars a line; the height is known before they are drawn. */
    int lines = (int)(sizeof groups / sizeof *groups + 1) / 2, tall = 24 + 5 * LINE + 18;
    snprintf(body_height, sizeof body_height, "%d", TOP + lines * tall);
    printf("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %s' width='%d' height='%s' "
           "role='img' aria-label='CPU time and memory of azchan.h, of bun, libwebsockets and ws, "
           "beside the floor'>\n%s", WIDTH, body_height, WIDTH, body_height, style);
    printf("<text x='%d' y='28' class='head'>The server's CPU time for one message, beside the "
           "floor</text>\n", LEFT);
    printf("<text x='%d' y='48' class='note'>The floor is the system calls alone: one wait, one "
           "recv, one send, and no checks. Shorter is better; each group has its own "
           "scale.</text>\n", LEFT);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        int column = i % 2 != 0;
        double used = group(LEFT + column * (COLUMN + 20), y[column], groups[i].key,
                            groups[i].title, groups[i].unit);
        y[column] += used > 0 ? tall : 0;
    }
    puts("</svg>");
    return row_count > 0 ? 0 : 1;
}
