/* LIVE: components that the server renders. What the script itself does is tested in browsers, by
 * tests/interop/live.mjs. */
#define AZCHAN_IMPLEMENTATION
#include "../azchan.h"
#include "test.h"
#include "requests.h"

#define KEY_A "0123456789abcdef"
#define KEY_B "fedcba9876543210"
#define INVALID "{\"type\":\"error\",\"code\":\"INVALID_JSON\"}"
#define FAILED "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\"}"
#define HTML(id, html) "{\"type\":\":html\",\"id\":\"" id "\",\"html\":\"" html "\"}"

/* ---- A kind of component that notes its life ---- */

typedef struct box {
    int n;
    char label[40];
} box;

static int shared, renderings;
static azc_live *newest;
static size_t filler; /* bytes of HTML in addition */

static int box_mount(azc_live *live, azc_json args) {
    box *b = (box *)azc_live_data(live);
    CHECK(b->n == 0 && b->label[0] == 0);
    CHECK(azc_live_conn(live) != NULL && azc_live_channel(live) == served);
    azc_json_string(azc_json_get(args, "label"), b->label, sizeof b->label);
    note("mount %s", b->label);
    if (strcmp(b->label, "refused") == 0) return AZC_ERR_APP;
    newest = live;
    return AZC_OK;
}

static int box_event(azc_live *live, const char *event, azc_json value) {
    box *b = (box *)azc_live_data(live);
    azc_conn *conn = azc_live_conn(live);
    char text[40];
    azc_json_string(value, text, sizeof text);
    note("%s %s%s", b->label, event, value.type == AZC_JSON_STRING ? text : "");
    if (strcmp(event, "add") == 0) b->n++;
    if (strcmp(event, "share") == 0) return shared++, azc_live_refresh_all(served, "box");
    if (strcmp(event, "close") == 0) return azc_close(conn, 4000, "asked");
    if (strcmp(event, "fail") == 0) return AZC_ERR_APP;
    if (strcmp(event, "label") == 0) memcpy(b->label, text, sizeof text);
    return AZC_OK;
}

static void box_render(azc_live *live, azc_html *html) {
    const box *b = (const box *)azc_live_data(live);
    renderings++;
    azc_html_put(html, "<b>");
    azc_html_format(html, "%d %s %ld", b->n, b->label, (long)shared);
    for (size_t i = 0; i < filler; i += 10) azc_html_put(html, "0123456789");
}

static void box_unmount(azc_live *live) {
    const box *b = (const box *)azc_live_data(live);
    note("unmount %s", b->label);
    if (newest == live) newest = NULL;
    if (strcmp(b->label, "last") == 0) shared++, azc_live_refresh_all(served, "box");
}

static azc_live_desc boxes(void) {
    azc_live_desc d;
    memset(&d, 0, sizeof d);
    d.name = "box";
    d.data_size = sizeof(box);
    d.on_mount = box_mount;
    d.on_event = box_event;
    d.on_render = box_render;
    d.on_unmount = box_unmount;
    return d;
}

static int user_upgrade(azc_conn *conn) {
    const char *user = azc_query(conn, "user");
    return user == NULL ? AZC_OK : azc_set_user(conn, user);
}

static azc_channel_desc plain(void) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t";
    d.on_upgrade = user_upgrade;
    return d;
}

static azc_server *with_live(const azc_config *config, azc_channel_desc channel,
                             azc_live_desc desc) {
    azc_live_desc other = boxes();
    azc_server *server = create(config);
    shared = renderings = 0, newest = NULL, filler = 0;
    CHECK((served = azc_add_channel(server, &channel)) != NULL);
    CHECK_INT(azc_add_live(served, &desc), AZC_OK);
    other.name = "other";
    CHECK_INT(azc_add_live(served, &other), AZC_OK);
    CHECK_INT(azc_add_live_script(server, "/azlive.js"), AZC_OK);
    listening(server);
    return server;
}
static azc_server *with_boxes(void) { return with_live(NULL, plain(), boxes()); }

static void mount_of(client *c, const char *id, const char *name, const char *key,
                     const char *label) {
    char text[512];
    snprintf(text, sizeof text, "{\"type\":\":mount\",\"id\":\"%s\",\"name\":\"%s\",\"key\":\"%s\","
             "\"args\":{\"label\":\"%s\"}}", id, name, key, label);
    client_text(c, text);
}

static void event(client *c, const char *id, const char *name, const char *value) {
    char text[512];
    snprintf(text, sizeof text, "{\"type\":\":event\",\"id\":\"%s\",\"event\":\"%s\",\"value\":%s}",
             id, name, value);
    client_text(c, text);
}

/* A page with one component, a. */
static client *page(azc_server *server, const char *key, const char *label) {
    char want[128];
    client *c = join_channel(server, "/t");
    mount_of(c, "a", "box", key, label);
    snprintf(want, sizeof want, HTML("a", "<b>0 %s %d"), label, shared);
    EXPECT_TEXT(c, want);
    return c;
}

static int waiting(void) { return served->lives->kinds->next->waiting.count; } /* of "box" */

/* ---- Tests ---- */

static void test_life(void) {
    TEST("mount, events and unmount: each once, HTML after each change, none without one") {
        azc_server *server = with_boxes();
        client *c = page(server, KEY_A, "x");
        EXPECT_EVENTS("mount x; ");
        event(c, "a", "add", "null");
        EXPECT_TEXT(c, HTML("a", "<b>1 x 0"));
        event(c, "a", "look", "\"v\"");
        EXPECT_SILENCE(c);
        EXPECT_EVENTS("x add; x lookv; ");
        CHECK_INT(renderings, 3);
        client_text(c, "{\"type\":\":unmount\",\"id\":\"a\"}");
        EXPECT_SILENCE(c);
        EXPECT_EVENTS("unmount x; ");
        event(c, "a", "add", "null");
        EXPECT_TEXT(c, INVALID);
        finish(server);
        EXPECT_EVENTS("");
    }
    TEST("several components of one page, and of two kinds, are apart") {
        azc_server *server = with_boxes();
        client *c = page(server, KEY_A, "x");
        mount_of(c, "b", "box", KEY_A, "y");
        EXPECT_TEXT(c, HTML("b", "<b>0 y 0"));
        mount_of(c, "c", "other", KEY_A, "z");
        EXPECT_TEXT(c, HTML("c", "<b>0 z 0"));
        event(c, "b", "add", "null");
        EXPECT_TEXT(c, HTML("b", "<b>1 y 0"));
        event(c, "a", "share", "null"); /* only of this name */
        frame f;
        for (int i = 0; i < 2; i++)
            CHECK(client_read(c, &f) && strstr((char *)f.data, " 1\"}") != NULL);
        EXPECT_SILENCE(c);
        client_text(c, "{\"type\":\":unmount\",\"id\":\"b\"}");
        event(c, "c", "add", "null");
        EXPECT_TEXT(c, HTML("c", "<b>1 z 1"));
        finish(server);
    }
    TEST("shared state reaches every page, from an event and from a timer") {
        azc_server *server = with_boxes();
        client *one = page(server, KEY_A, "x"), *two = page(server, KEY_B, "y");
        event(one, "a", "share", "null");
        EXPECT_TEXT(one, HTML("a", "<b>0 x 1"));
        EXPECT_TEXT(two, HTML("a", "<b>0 y 1"));
        CHECK_INT(azc_live_refresh_all(served, "box"), AZC_OK);
        EXPECT_SILENCE(one);
        shared = 5;
        CHECK_INT(azc_live_refresh(newest), AZC_OK);
        EXPECT_TEXT(two, HTML("a", "<b>0 y 5"));
        EXPECT_SILENCE(one);
        finish(server);
    }
    TEST("an error of on_mount or on_event is handled as one of on_message") {
        azc_server *server = with_boxes();
        client *c = join_channel(server, "/t");
        mount_of(c, "a", "box", KEY_A, "refused");
        EXPECT_TEXT(c, FAILED);
        event(c, "a", "add", "null");
        EXPECT_TEXT(c, INVALID);
        mount_of(c, "a", "box", KEY_A, "x");
        EXPECT_TEXT(c, HTML("a", "<b>0 x 0"));
        event(c, "a", "fail", "null");
        EXPECT_TEXT(c, FAILED);
        EXPECT_EVENTS("mount refused; mount x; x fail; ");
        finish(server);
        EXPECT_EVENTS("unmount x; ");
    }
    TEST("on_event may close its connection, and on_unmount may refresh the others") {
        azc_live_desc d = boxes();
        d.grace_ms = -1;
        azc_server *server = with_live(NULL, plain(), d);
        client *other = page(server, KEY_B, "y"), *c = page(server, KEY_A, "last");
        event(c, "a", "close", "null");
        EXPECT_CLOSE(c, 4000, "asked");
        EXPECT_TEXT(other, HTML("a", "<b>0 y 1"));
        EXPECT_EVENTS("mount y; mount last; last close; unmount last; ");
        finish(server);
    }
    TEST("with azchan.js a page's requests, pings and components share the connection") {
        azc_server *server = create(NULL);
        azc_channel_desc channel = echoer("/t");
        azc_live_desc d = boxes();
        shared = 0, filler = 0;
        served = azc_add_channel(server, &channel);
        CHECK_INT(azc_add_client(server, "/azchan.js"), AZC_OK);
        CHECK_INT(azc_add_live(served, &d), AZC_OK);
        listening(server);
        client *c = join_channel(server, "/t?azchan=1");
        EXPECT_TEXT(c, "{\"type\":\":hello\",\"ping_ms\":30000,\"pong_ms\":10000}");
        mount_of(c, "a", "box", KEY_A, "x");
        EXPECT_TEXT(c, HTML("a", "<b>0 x 0"));
        client_text(c, "{\"type\":\":ping\"}");
        EXPECT_TEXT(c, "{\"type\":\":pong\"}");
        client_text(c, "{\"ref\":1}");
        EXPECT_TEXT(c, "{\"ref\":1}");
        client_text(c, "{\"type\":\":event\",\"id\":\"a\",\"event\":\"fail\",\"ref\":7}");
        EXPECT_TEXT(c, "{\"type\":\"error\",\"code\":\"INTERNAL_ERROR\",\"ref\":7}");
        finish(server);
    }
    TEST("the channel's own on_message and on_close get what is theirs") {
        azc_server *server = with_live(NULL, recorder("/t"), boxes());
        client *c = join_channel(server, "/t");
        client_text(c, "{\"type\":\"hello\"}");
        client_text(c, "not json");
        mount_of(c, "a", "box", KEY_A, "x");
        EXPECT_TEXT(c, HTML("a", "<b>0 x 0"));
        client_bye(c, 1000, "");
        EXPECT_CLOSE(c, 1000, NULL);
        EXPECT_EVENTS("connect; text {\"type\":\"hello\"}; text not json; mount x; close 1000; ");
        finish(server);
        EXPECT_EVENTS("unmount x; ");
    }
}

static void test_grace(void) {
    TEST("a component survives a reconnect within its grace time, and is rendered anew") {
        azc_server *server = with_boxes();
        client *c = page(server, KEY_A, "x");
        event(c, "a", "add", "null");
        EXPECT_TEXT(c, HTML("a", "<b>1 x 0"));
        azc_live *live = newest;
        client_close(c), settle(server);
        CHECK(azc_live_conn(live) == NULL && azc_live_data(live) != NULL);
        shared = 3;
        CHECK_INT(azc_live_refresh(live), AZC_OK);
        CHECK_INT(azc_live_refresh_all(served, "box"), AZC_OK);
        c = join_channel(server, "/t");
        mount_of(c, "a", "box", KEY_A, "new");
        EXPECT_TEXT(c, HTML("a", "<b>1 x 3"));
        mount_of(c, "a", "box", KEY_A, "new"); /* the page has lost its element's HTML */
        EXPECT_TEXT(c, HTML("a", "<b>1 x 3"));
        CHECK_INT(served->lives->count, 1);
        event(c, "a", "add", "null");
        EXPECT_TEXT(c, HTML("a", "<b>2 x 3"));
        EXPECT_EVENTS("mount x; x add; x add; ");
        finish(server);
        EXPECT_EVENTS("unmount x; ");
    }
    TEST("after its grace time it is unmounted, and its page gets a new one") {
        azc_live_desc d = boxes();
        d.grace_ms = 50;
        azc_server *server = with_live(NULL, plain(), d);
        client_close(page(server, KEY_A, "x"));
        pump_until(server, newest == NULL);
        EXPECT_EVENTS("mount x; unmount x; ");
        client *c = page(server, KEY_A, "x");
        event(c, "a", "add", "null");
        EXPECT_TEXT(c, HTML("a", "<b>1 x 0"));
        client_close(c), settle(server);
        c = join_channel(server, "/t"); /* back in time: the timer no longer runs */
        mount_of(c, "a", "box", KEY_A, "x");
        EXPECT_TEXT(c, HTML("a", "<b>1 x 0"));
        pump(server, 120);
        event(c, "a", "add", "null");
        EXPECT_TEXT(c, HTML("a", "<b>2 x 0"));
        finish(server);
    }
    TEST("only the page with the key, the id, the name and the user gets it") {
        static const char *const from[] = {"/t?user=bob", "/t", "/t?user=ada"};
        azc_server *server = with_boxes();
        client *c = join_channel(server, "/t?user=ada");
        mount_of(c, "a", "box", KEY_A, "x");
        EXPECT_TEXT(c, HTML("a", "<b>0 x 0"));
        event(c, "a", "add", "null");
        EXPECT_TEXT(c, HTML("a", "<b>1 x 0"));
        client_close(c), settle(server);
        for (int i = 0; i < 3; i++) {
            c = join_channel(server, from[i]);
            mount_of(c, "a", "box", i < 2 ? KEY_A : KEY_B, "y");
            EXPECT_TEXT(c, HTML("a", "<b>0 y 0"));
        }
        mount_of(c, "b", "box", KEY_A, "y");
        EXPECT_TEXT(c, HTML("b", "<b>0 y 0"));
        mount_of(c, "a", "box", KEY_A, "y");
        EXPECT_TEXT(c, HTML("a", "<b>1 x 0"));
        tape_clear(&events);
        mount_of(c, "a", "other", KEY_A, "z");
        EXPECT_TEXT(c, HTML("a", "<b>0 z 0"));
        EXPECT_EVENTS("unmount x; mount z; ");
        finish(server);
    }
    TEST("a page that comes back before its old connection ends takes its components along") {
        azc_server *server = with_boxes();
        client *dead = page(server, KEY_A, "x"), *c = join_channel(server, "/t");
        mount_of(dead, "b", "box", KEY_A, "y");
        EXPECT_TEXT(dead, HTML("b", "<b>0 y 0"));
        mount_of(c, "a", "box", KEY_A, "new");
        EXPECT_TEXT(c, HTML("a", "<b>0 x 0"));
        event(dead, "a", "add", "null");
        EXPECT_TEXT(dead, INVALID);
        client_close(dead), settle(server);
        CHECK_INT(waiting(), 1); /* b */
        event(c, "a", "add", "null");
        EXPECT_TEXT(c, HTML("a", "<b>1 x 0"));
        mount_of(c, "b", "box", KEY_A, "new");
        EXPECT_TEXT(c, HTML("b", "<b>0 y 0"));
        CHECK_INT(waiting(), 0);
        EXPECT_EVENTS("mount x; mount y; x add; ");
        finish(server);
    }
    TEST("the oldest of those that wait make room") {
        azc_live_desc d = boxes();
        d.max_waiting = 2;
        azc_server *server = with_live(NULL, plain(), d);
        client *c[4];
        char key[] = "0123456789abcde.", label[] = ".";
        for (int i = 0; i < 4; i++) {
            key[15] = label[0] = (char)('0' + i);
            c[i] = page(server, key, label);
        }
        tape_clear(&events);
        for (int i = 3; i >= 0; i--) client_close(c[i]), settle(server);
        EXPECT_EVENTS("unmount 3; unmount 2; ");
        CHECK_INT(waiting(), 2);
        CHECK_INT(served->lives->count, 2);
        finish(server);
    }
    TEST("thousands of pages come back at once, each to its own component") {
        enum { PAGES = 3000 };
        azc_config config = quick();
        azc_live_desc d = boxes();
        d.max_waiting = 32 * PAGES;
        azc_server *server = with_live(&config, plain(), d);
        char key[20], label[20], want[128];
        for (int back = 0; back < 2; back++) {
            client *c = NULL;
            for (int i = 0; i < PAGES; i++) {
                if (i % 50 == 0 && c != NULL) client_close(c), settle(server);
                if (i % 50 == 0) c = join_channel(server, "/t");
                snprintf(key, sizeof key, "key-of-page-%05d", i);
                snprintf(label, sizeof label, "%d", i);
                snprintf(want, sizeof want, HTML("a", "<b>0 %d 0"), i);
                mount_of(c, "a", "box", key, back ? "new" : label);
                EXPECT_TEXT(c, want);
            }
            client_close(c), settle(server);
        }
        CHECK_INT(waiting(), PAGES);
        CHECK(served->lives->cap >= PAGES);
        CHECK_INT(count_of(tape_text(&events), "mount"), PAGES);
        finish(server);
    }
}

static void test_bad_peers(void) {
    TEST("messages that are none get an error, and change nothing") {
        static const char long_id[] = "0123456789012345678901234567890123456789" /* 65 bytes */
                                      "0123456789012345678901234";
        static const char *const bad[] = {
            "{\"type\":\":mount\"}", "{\"type\":\":mount\",\"id\":7,\"name\":\"box\"}",
            "{\"type\":\":mount\",\"id\":\"\",\"name\":\"box\",\"key\":\"" KEY_A "\"}",
            "{\"type\":\":mount\",\"id\":\"a\\u0000\",\"name\":\"box\",\"key\":\"" KEY_A "\"}",
            "{\"type\":\":mount\",\"id\":\"z\",\"name\":\"none\",\"key\":\"" KEY_A "\"}",
            "{\"type\":\":mount\",\"id\":\"z\",\"name\":null,\"key\":\"" KEY_A "\"}",
            "{\"type\":\":mount\",\"id\":\"z\",\"name\":\"box\",\"key\":\"too short\"}",
            "{\"type\":\":mount\",\"id\":\"z\",\"name\":\"box\"}",
            "{\"type\":\":unmount\"}", "{\"type\":\":unmount\",\"id\":\"z\"}",
            "{\"type\":\":event\",\"id\":\"z\",\"event\":\"add\"}",
            "{\"type\":\":event\",\"id\":\"a\"}",
            "{\"type\":\":event\",\"id\":\"a\",\"event\":[]}",
            "{\"type\":\":events\",\"id\":\"a\"}", "{\"type\":1}", "[]", "{", ""};
        azc_server *server = with_boxes();
        client *c = page(server, KEY_A, "x"), *other = page(server, KEY_B, "y");
        tape_clear(&events);
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            client_text(c, bad[i]);
            EXPECT_TEXT(c, INVALID);
        }
        mount_of(c, long_id, "box", KEY_A, "z");
        EXPECT_TEXT(c, INVALID);
        mount_of(c, "z", "box", long_id, "z");
        EXPECT_TEXT(c, INVALID);
        EXPECT_EVENTS("");
        EXPECT_SILENCE(other);
        CHECK_INT(served->lives->count, 2);
        event(c, "a", "add", "null");
        EXPECT_TEXT(c, HTML("a", "<b>1 x 0"));
        finish(server);
    }
    TEST("a connection has at most 64 components, whether new or come back") {
        azc_server *server = with_boxes();
        client *c = page(server, KEY_A, "x");
        char id[20];
        frame f;
        for (int i = 1; i < 64; i++) {
            snprintf(id, sizeof id, "%d", i);
            mount_of(c, id, "box", KEY_A, "y");
            CHECK(client_read(c, &f) && f.len > 20);
        }
        mount_of(c, "64", "box", KEY_A, "y");
        EXPECT_TEXT(c, FAILED);
        CHECK(strstr(azc_error(server), "64 components") != NULL);
        client *two = page(server, KEY_B, "z");
        mount_of(two, "b", "box", KEY_B, "z");
        CHECK(client_read(two, &f));
        client_close(two), settle(server);
        mount_of(c, "b", "box", KEY_B, "z");
        EXPECT_TEXT(c, FAILED);
        mount_of(c, "a", "box", KEY_A, "x"); /* it has this one */
        EXPECT_TEXT(c, HTML("a", "<b>0 x 0"));
        finish(server);
    }
}

/* ---- HTML ---- */

static int kind_of_html;

static void html_render(azc_live *live, azc_html *html) {
    const char *volatile bad = "%f", *volatile none = NULL; /* unseen by the compiler */
    (void)live;
    if (kind_of_html == 0)
        azc_html_format(html, "<i title='%s'>%s|%s</i>%d%%%ld%lld", "'\"&<>", "a<b>\\\n", none, -7,
                        LONG_MIN, (long long)INT64_MAX);
    if (kind_of_html == 1) azc_html_put(html, "\xff");
    if (kind_of_html == 2) azc_html_format(html, bad, 1.5);
    if (kind_of_html == 3) CHECK_INT(azc_live_refresh(live), AZC_ERR_STATE);
    if (kind_of_html == 4) azc_html_put(html, NULL), azc_html_format(html, NULL);
    if (kind_of_html == 5) azc_html_format(html, "%s", "\xc3");
}

static void test_html(void) {
    TEST("values are escaped, markup is not, and what is wrong is an error") {
        azc_live_desc d = boxes();
        d.on_mount = NULL, d.on_unmount = NULL, d.data_size = 0, d.on_render = html_render;
        azc_server *server = with_live(NULL, plain(), d);
        client *c = join_channel(server, "/t");
        char want[300];
        kind_of_html = 0;
        mount_of(c, "a", "box", KEY_A, "");
        snprintf(want, sizeof want, HTML("a", "<i title='&#39;&quot;&amp;&lt;&gt;'>a&lt;b&gt;"
                                              "\\\\\\n|</i>-7%%%ld%lld"),
                 LONG_MIN, (long long)INT64_MAX);
        EXPECT_TEXT(c, want);
        for (kind_of_html = 1; kind_of_html < 6; kind_of_html++) {
            char id[] = {(char)('a' + kind_of_html), 0};
            mount_of(c, id, "box", KEY_A, "");
            if (kind_of_html == 3) EXPECT_TEXT(c, HTML("d", ""));
            else if (kind_of_html == 4) EXPECT_TEXT(c, HTML("e", ""));
            else EXPECT_TEXT(c, FAILED);
            const char *words = kind_of_html == 2 ? "takes %s, %d" : kind_of_html == 3
                                ? "not in on_render" : kind_of_html == 4 ? "" : "not valid UTF-8";
            CHECK(strstr(azc_error(server), words) != NULL);
        }
        CHECK(azc_live_data(azc__live_of(member_of(served), "a")) == NULL);
        finish(server);
    }
    TEST("HTML of any length up to half of max_backlog fits, and no more") {
        azc_config config = quick();
        config.max_backlog = 100000, config.max_message = 20000;
        azc_server *server = with_live(&config, plain(), boxes());
        client *c = page(server, KEY_A, "x");
        frame f;
        for (filler = 3900; filler <= 4200; filler += 10) {
            event(c, "a", "add", "null");
            CHECK(client_read(c, &f) && f.len > filler && f.len < filler + 100);
            CHECK(strcmp((char *)f.data + f.len - 3, "9\"}") == 0);
        }
        filler = config.max_backlog / 2 - 100;
        event(c, "a", "add", "null");
        CHECK(client_read(c, &f) && f.len > filler);
        filler = config.max_backlog / 2;
        event(c, "a", "add", "null");
        EXPECT_TEXT(c, FAILED);
        CHECK(strstr(azc_error(server), "\"box\" is over 50000 bytes, half of max_backlog"));
        filler = 0;
        event(c, "a", "add", "null");
        CHECK(client_read(c, &f) && f.len < 100);
        finish(server);
    }
    TEST("a page that does not read for a while gets the newest HTML, not all of it") {
        azc_config config = quick();
        config.max_backlog = 200000;
        azc_server *server = with_live(&config, plain(), boxes());
        client *c = page(server, KEY_A, "x");
        frame f;
        int frames = 0;
        filler = 60000;
        for (shared = 1; shared < 500; shared++) {
            CHECK_INT(azc_live_refresh_all(served, "box"), AZC_OK);
            azc_poll(server, 0);
        }
        shared = 7777;
        CHECK_INT(azc_live_refresh_all(served, "box"), AZC_OK);
        do CHECK(client_read(c, &f) && frames++ < 400);
        while (f.len > 0 && strncmp(strstr((char *)f.data, "<b>"), "<b>0 x 7777", 11) != 0);
        EXPECT_SILENCE(c);
        for (int i = 0; i < 100; i++) event(c, "a", "share", "null"); /* in few turns */
        for (frames = 0; shared < 7877;) azc_poll(server, 1);
        do CHECK(client_read(c, &f) && frames++ < 40);
        while (f.len > 0 && strncmp(strstr((char *)f.data, "<b>"), "<b>0 x 7877", 11) != 0);
        finish(server);
    }
    TEST("with more HTML than max_backlog a connection is closed with 1013, and may come back") {
        for (int drop = 0; drop < 2; drop++) {
            azc_config config = quick();
            azc_channel_desc channel = plain();
            config.max_backlog = 200000;
            channel.when_full = drop ? AZC_FULL_DROP : AZC_FULL_CLOSE;
            channel.on_close = note_close;
            azc_server *server = with_live(&config, channel, boxes());
            client *c = page(server, KEY_A, "x");
            frame f;
            char id[] = "b";
            for (; *id < 'h'; ++*id) {
                mount_of(c, id, "box", KEY_A, "y");
                CHECK(client_read(c, &f));
            }
            tape_clear(&events);
            filler = 90000;
            for (int i = 0; i < 1000 && azc_live_conn(newest) != NULL; i++) {
                shared++;
                CHECK_INT(azc_live_refresh_all(served, "box"), AZC_OK);
                azc_poll(server, 0);
            }
            EXPECT_EVENTS("close 1013; ");
            CHECK(azc_live_conn(newest) == NULL);
            client_close(c);
            filler = 0;
            c = join_channel(server, "/t");
            mount_of(c, "a", "box", KEY_A, "x");
            CHECK(client_read(c, &f) && strstr((char *)f.data, "<b>0 x") != NULL);
            finish(server);
        }
    }
}

/* ---- Setup and memory ---- */

static int ignore_part(azc_conn *conn, const void *data, size_t len, int flags) {
    return (void)conn, (void)data, (void)len, (void)flags, AZC_OK;
}

static void test_setup(void) {
    TEST("azc_add_live refuses what is wrong, in words") {
        azc_server *server = create(NULL);
        azc_channel_desc channel = plain();
        azc_live_desc d = boxes();
        served = azc_add_channel(server, &channel);
        CHECK_INT(azc_add_live(NULL, &d), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_live(served, NULL), AZC_ERR_ARGUMENT);
        d.name = NULL;
        CHECK_INT(azc_add_live(served, &d), AZC_ERR_ARGUMENT);
        d = boxes(), d.on_render = NULL;
        CHECK_INT(azc_add_live(served, &d), AZC_ERR_ARGUMENT);
        d = boxes(), d.max_waiting = -1;
        CHECK_INT(azc_add_live(served, &d), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_listen(server), AZC_ERR_ARGUMENT);
        CHECK(strstr(azc_error(server), "azc_add_live") != NULL);
        finish(server);
        server = create(NULL);
        served = azc_add_channel(server, &channel);
        d = boxes();
        CHECK_INT(azc_live_refresh_all(served, "box"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_live(served, &d), AZC_OK);
        CHECK_INT(azc_live_refresh_all(served, "box"), AZC_OK);
        CHECK_INT(azc_live_refresh_all(served, "none"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_live_refresh_all(served, NULL), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_live(served, &d), AZC_ERR_CONFLICT);
        finish(server);
        server = with_boxes();
        d.name = "late";
        CHECK_INT(azc_add_live(served, &d), AZC_ERR_STATE);
        finish(server);
        CHECK(azc_live_refresh(NULL) == AZC_ERR_ARGUMENT && azc_live_data(NULL) == NULL);
        CHECK(azc_live_conn(NULL) == NULL && azc_live_channel(NULL) == NULL);
        CHECK_INT(azc_live_refresh_all(NULL, "box"), AZC_ERR_ARGUMENT);
        CHECK_INT(azc_add_live_script(NULL, "/l.js"), AZC_ERR_ARGUMENT);
        azc_html_put(NULL, ""), azc_html_format(NULL, "x");
    }
    TEST("azc_add_live is not for fixed memory, nor for channels with azc_on_part") {
        azc_config config = limits(1);
        azc_channel_desc channel = plain();
        azc_live_desc d = boxes();
        fix(&config, 1);
        azc_server *server = create(&config);
        CHECK_INT(azc_add_live(azc_add_channel(server, &channel), &d), AZC_ERR_STATE);
        CHECK(strstr(azc_error(server), "azc_create_in") != NULL);
        finish(server);
        server = create(NULL);
        served = azc_add_channel(server, &channel);
        azc_on_part(served, ignore_part);
        CHECK_INT(azc_add_live(served, &d), AZC_ERR_STATE);
        finish(server);
        server = create(NULL);
        served = azc_add_channel(server, &channel);
        CHECK_INT(azc_add_live(served, &d), AZC_OK);
        CHECK_INT(azc_on_part(served, ignore_part), AZC_ERR_STATE);
        CHECK(strstr(azc_error(server), "azc_add_live") != NULL);
        CHECK_INT(azc_listen(server), AZC_ERR_STATE);
        finish(server);
    }
    TEST("the script is served with its tag, and azchan.js beside it") {
        azc_server *server = with_boxes();
        answer a;
        client *c = client_open(server);
        client_print(c, "GET /azlive.js HTTP/1.1\r\nHost: a.example\r\n\r\n");
        CHECK_INT(client_answer(c, &a), 200);
        CHECK(answer_has(&a, "ETag", AZC__LIVE_TAG));
        CHECK(answer_has(&a, "Content-Type", "text/javascript; charset=utf-8"));
        CHECK_INT(a.len, AZC__LIVE_LEN);
        CHECK(strncmp(a.body, "globalThis.AzLive = ", 20) == 0);
        client_print(c, "GET /azlive.js HTTP/1.1\r\nHost: a.example\r\nIf-None-Match: %s\r\n\r\n",
                     AZC__LIVE_TAG);
        CHECK_INT(client_answer(c, &a), 304);
        finish(server);
    }
}

/* ---- A random crowd ---- */

static unsigned dice_state;
static int dice(int n) {
    dice_state = dice_state * 1103515245u + 12345u;
    return (int)(dice_state >> 16) % n;
}

static int alive, ended; /* components, by on_mount and on_unmount */

static int crowd_mount(azc_live *live, azc_json args) {
    (void)args;
    if (dice(10) == 0) return AZC_ERR_APP;
    CHECK(*(int *)azc_live_data(live) == 0);
    *(int *)azc_live_data(live) = 7;
    alive++;
    if (dice(10) == 0) azc_close(azc_live_conn(live), 4000, NULL);
    return dice(4) == 0 ? azc_live_refresh_all(served, "box") : AZC_OK;
}

static int crowd_event(azc_live *live, const char *event, azc_json value) {
    (void)event, (void)value;
    CHECK_INT(*(int *)azc_live_data(live), 7);
    shared++;
    if (dice(20) == 0) azc_close(azc_live_conn(live), 4000, NULL);
    if (dice(4) == 0) azc_live_refresh(live);
    return dice(2) == 0 ? azc_live_refresh_all(served, "box") : AZC_OK;
}

static void crowd_render(azc_live *live, azc_html *html) {
    CHECK_INT(*(int *)azc_live_data(live), 7);
    azc_html_format(html, "%d", shared);
}

static void crowd_unmount(azc_live *live) {
    CHECK_INT(*(int *)azc_live_data(live), 7);
    shared++;
    azc_live_refresh_all(served, "box");
    *(int *)azc_live_data(live) = 8;
    ended++;
}

static void test_crowd(void) {
    TEST("a random crowd: each component is mounted and unmounted once, whatever comes between") {
        enum { PEOPLE = 8, STEPS = 4000 };
        azc_config config = quick();
        azc_live_desc d = boxes();
        client *crowd[PEOPLE] = {0};
        d.data_size = sizeof(int), d.grace_ms = 20, d.max_waiting = 6;
        d.on_mount = crowd_mount, d.on_event = crowd_event;
        d.on_render = crowd_render, d.on_unmount = crowd_unmount;
        config.log = NULL;
        azc_server *server = with_live(&config, plain(), d);
        dice_state = 1, alive = ended = 0;
        for (int i = 0; i < STEPS; i++) {
            client **c = &crowd[dice(PEOPLE)];
            char id[] = {(char)('a' + dice(4)), 0}, key[] = "0123456789abcde.", text[64];
            key[15] = (char)('0' + dice(5));
            int what = dice(20);
            if (*c != NULL) client_fill(*c), client_take(*c, (*c)->len);
            if (*c != NULL && (what < 2 || (*c)->eof)) client_close(*c), *c = NULL;
            if (*c == NULL) *c = join_channel(server, dice(2) ? "/t" : "/t?user=ada");
            snprintf(text, sizeof text, "{\"type\":\":unmount\",\"id\":\"%s\"}", id);
            if (what < 9) mount_of(*c, id, "box", key, "");
            else if (what < 12) client_text(*c, text);
            else event(*c, id, "any", "1");
            azc_poll(server, dice(8) == 0 ? dice(12) : 0);
            CHECK_INT(served->lives->count, alive - ended);
            CHECK(waiting() <= d.max_waiting);
        }
        CHECK(alive > STEPS / 20 && ended > STEPS / 30);
        finish(server);
        CHECK_INT(alive, ended);
    }
}

static void test_memory(void) {
    TEST("whichever allocation fails, nothing leaks and the rest goes on") {
        int failures = 0;
        for (long n = 1, more = 1; more && n < 500; n += quick_run() ? 9 : 1) {
            azc_channel_desc channel = plain();
            azc_live_desc d = boxes();
            azc_server *server = create(NULL);
            shared = renderings = 0, newest = NULL, filler = 6000;
            served = azc_add_channel(server, &channel);
            memory.fail = n;
            int error = azc_add_live(served, &d);
            if (error != AZC_OK) CHECK_INT(error, AZC_ERR_MEMORY);
            if (error == AZC_OK && azc_listen(server) == AZC_OK) {
                memory.fail = 0;
                client *c = join_channel(server, "/t"), *two = join_channel(server, "/t");
                settle(server);
                memory.fail = n;
                char id[20];
                for (int i = 0; i < 20; i++) {
                    snprintf(id, sizeof id, "%d", i);
                    mount_of(c, id, "box", KEY_A, "x");
                    settle(server);
                }
                client_close(c), settle(server);
                for (int i = 0; i < 20; i++) {
                    snprintf(id, sizeof id, "%d", i);
                    mount_of(two, id, "box", KEY_A, "y");
                    settle(server);
                }
                filler = 9000;
                azc_live_refresh_all(served, "box");
                settle(server);
            }
            more = memory.fail == 0;
            failures += (int)more;
            memory.fail = 0;
            finish(server);
            int unmounts = count_of(tape_text(&events), "unmount");
            CHECK_INT(count_of(tape_text(&events), "mount"), 2 * unmounts);
        }
        CHECK(failures > 20);
    }
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    test_life();
    test_grace();
    test_bad_peers();
    test_html();
    test_setup();
    test_crowd();
    test_memory();
    return test_end();
}
