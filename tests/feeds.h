/* feeds.h: what test_history.c and test_rates.c share. */
#ifndef FEEDS_H
#define FEEDS_H

static inline azc_channel_desc quiet(void) {
    azc_channel_desc d;
    memset(&d, 0, sizeof d);
    d.path = "/t";
    d.on_close = note_close;
    return d;
}

/* The connection that came last. */
static inline azc_conn *newest(void) { return member_of(served); }

/* A client that joins the room as it comes. */
static inline client *listener(azc_server *server, const char *room) {
    client *c = join_channel(server, "/t");
    CHECK_INT(azc_join(newest(), room), AZC_OK);
    return c;
}

/* One that does not read, with as little room in its sockets as there can be. */
static inline client *stalled(azc_server *server) {
    client *c = client_open_to(server, "127.0.0.1", azc_port(server), 1);
    CHECK_INT(client_upgrade(c, "/t", ""), 101);
    return c;
}

static inline int say(const char *room, const char *text) {
    return sent_text(served, room, text, strlen(text), NULL);
}
static inline void say_numbers(const char *room, int from, int to) {
    char text[16];
    for (int i = from; i <= to; i++) snprintf(text, sizeof text, "%d", i), say(room, text);
}
static inline void expect_numbers(client *c, int from, int to) {
    char text[16];
    for (int i = from; i <= to; i++) snprintf(text, sizeof text, "%d", i), EXPECT_TEXT(c, text);
}

#endif
