/* requests.h: a server with pages and channels, and one request at a time to it; for the tests of
 * REQUEST and of what belongs to a request. Include it instead of client.h. */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "client.h"

enum { PAGE = 14 << 10, BIG = 200 << 10 };
static char page_bytes[PAGE + 1], big_bytes[BIG + 1];

/* The limits of quick(), or of a small server in fixed memory. */
static inline azc_config limits(int fixed) {
    azc_config c = quick();
    if (!fixed) return c;
    c.max_connections = 12;
    c.max_message = 4 << 10, c.read_buffer = 4 << 10, c.max_backlog = 32 << 10;
    return c;
}

/* The next create is in fixed memory of just the size that the config needs. */
static inline void fix(const azc_config *c, int fixed) {
    static unsigned char block[4 << 20];
    if (!fixed) return;
    create_block.memory = block, create_block.size = azc_memory_bound(c);
    if (!CHECK(create_block.size > 0 && create_block.size <= sizeof block)) abort();
}

/* Answers with its target, or as its ?do= asks. */
static inline int answering(azc_conn *conn, void *user) {
    const char *what = azc_query(conn, "do");
    (void)user;
    note("%s %s", azc_method(conn), azc_target(conn));
    if (what == NULL) return azc_reply(conn, 200, "text/plain", azc_target(conn), AZC_NUL);
    if (strcmp(what, "205") == 0) return azc_reply(conn, 205, "text/plain", "reset", 5);
    if (strcmp(what, "big") == 0) return azc_reply(conn, 200, "text/plain", big_bytes, BIG);
    if (strcmp(what, "half") == 0)
        return azc_reply(conn, 200, "text/plain", big_bytes, 24 << 10);
    return atoi(what);
}

/* Pages "/" and "/page" (14 KB), handlers "/do" and "/files/" "*rest", channels "/t" and "/both",
 * which is a page too. */
static inline azc_server *serving(const azc_config *config, azc_channel_desc d) {
    azc_server *server = create(config);
    memset(page_bytes, 'p', PAGE), memset(big_bytes, 'b', BIG);
    d.path = "/t";
    CHECK((served = azc_add_channel(server, &d)) != NULL);
    d.path = "/both";
    CHECK(azc_add_channel(server, &d) != NULL);
    CHECK_INT(azc_add_page(server, "/", "text/plain", "hello", 5), AZC_OK);
    CHECK_INT(azc_add_page(server, "/both", "text/plain", "both", 4), AZC_OK);
    CHECK_INT(azc_add_page(server, "/page", "text/plain", page_bytes, PAGE), AZC_OK);
    CHECK_INT(azc_add_handler(server, "/do", answering, NULL), AZC_OK);
    CHECK_INT(azc_add_handler(server, "/files/*rest", answering, NULL), AZC_OK);
    listening(server);
    return server;
}
static inline azc_server *serving_pages(const azc_config *config) {
    return serving(config, recorder("/t"));
}

/* One request on a connection of its own; the answer is in got. */
static answer got;
static inline int ask(azc_server *server, const char *request) {
    client *c = client_open(server);
    client_send(c, request, strlen(request));
    int status = client_answer_to(c, &got, strncmp(request, "HEAD", 4) == 0);
    client_close(c);
    return status;
}

/* The same, and the connection ends behind the answer. */
static inline int ask_last(azc_server *server, const char *request) {
    client *c = client_open(server);
    client_send(c, request, strlen(request));
    int status = client_answer_to(c, &got, strncmp(request, "HEAD", 4) == 0);
    EXPECT_EOF(c);
    client_close(c);
    return status;
}

static inline int logged(const char *word) { return count_of(tape_text(&log_lines), word); }

#endif
