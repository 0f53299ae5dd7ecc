/* azchan.h: real-time WebSocket channels in one C header. Version 0.1. MIT license, at the end.

   ==== [0] MANUAL ==============================================================================

   A channel is a path and a few callbacks. A browser opens `new WebSocket("ws://host/chat")`,
   your on_connect runs; it sends, your on_message runs; it goes, your on_close runs. A channel
   has rooms, a connection joins them, a broadcast reaches a room. JSON is read and written
   here too, and plain pages are served beside the channels, so that one binary is a whole
   product. Needs libc and POSIX sockets. One thread, no global state, any number of servers.

   QUICK START

       #define AZCHAN_IMPLEMENTATION           // in exactly one .c or .cpp file
       #include "azchan.h"                     // and first there: it asks libc for POSIX
       #include <stdio.h>

       static int chat_message(azc_conn *conn, const char *text, size_t len) {
           return azc_broadcast(azc_channel_of(conn), NULL, text, len, conn);
       }

       int main(void) {
           azc_config config = {0};            // 0 everywhere: the defaults below
           config.port = 4000;
           azc_channel_desc chat = {0};
           chat.path = "/chat";
           chat.on_message = chat_message;

           azc_server *server = azc_create(&config);
           azc_use(server, azc_logger, stdout);
           azc_add_channel(server, &chat);
           if (azc_run(server) != AZC_OK) fprintf(stderr, "%s\n", azc_error(server));
           azc_destroy(server);
       }

   Errors need no check on the way: what azc_create, azc_use or azc_add_channel refused is kept
   and azc_run returns it; azc_error says it in words. Callbacks return AZC_OK (or anything
   positive) when all is well; a negative AZC_ERR_* is shown to on_error, or, without on_error,
   logged and told to the peer as {"type":"error","code":"INVALID_JSON"} for AZC_ERR_JSON,
   "INTERNAL_ERROR" for the rest. The connection lives on in each case.

   A BYTE'S WAY: what one azc_poll does, in this order

     1 wait      poll(), until the earliest deadline or the caller's timeout
     2 read      socket --recv--> the server's one read buffer
     3 decode    first  [HTTP] head -> azc_use handlers -> [ROUTE] -> on_upgrade -> 101 or 4xx
                 then   [FRAME] unmasked in place -> [UTF8] -> a whole message
                 (what is half received waits in its connection, at most max_message of it)
     4 call      on_connect / on_message / on_binary / on_drain ...   <- your code
                 reads with [JSON]; azc_send_*, azc_broadcast, azc_close only append and mark
     5 settle    on_close for every connection that ended in this turn
     6 flush     each connection with output: one send
     7 free      connections that are done are freed here, nowhere else

   LAWS

   - Sends do no I/O: they append to the connection's output, and step 6 writes it. No callback
     runs inside another; a slow reader never blocks a broadcast.
   - Closing marks. No callback ever sees a freed connection. Once a connection is closed, by
     either side, its only further callback is on_close.
   - on_close runs exactly once for each connection whose on_connect ran, whatever ended it, in
     the turn in which it ended. The connection is in no room and in no count by then; its own
     azc_rooms list still tells where it was.
   - Pointers given to a callback die when it returns. Text has a NUL behind it that len does not
     count (text itself may hold NULs). azc_param, azc_query, azc_peer, azc_target and
     azc_subprotocol live as long as the connection.
   - Memory is bounded by the configuration. Nothing is allocated for a length that a peer merely
     announced.
   - Nothing here prints (but azc_logger, to the FILE you give), exits, or touches signals.

   OWNERSHIP

     you give                                    it is
     config, desc and the strings in them        copied
     a static page's bytes                       kept by address: leave them in place
     text, bodies, room names                    copied before the call returns
     `user` pointers                             kept, never touched
     you get
     azc_server                                  yours: azc_destroy
     azc_channel                                 the server's, until azc_destroy
     azc_conn                                    the server's, until its on_close returns; keep
                                                 azc_id instead and look it up with azc_find

   THREADS AND SIGNALS. Everything belongs to the thread that calls azc_poll, except azc_stop,
   which any thread and any signal handler may call. "Anywhere" below means: in any callback and
   between two polls, on that thread.

   LIMITS. Fields, units, defaults, and what a peer meets past them: see azc_config.

   JSON that callbacks see is text until you read it: azc_json_read checks the whole document
   once, then azc_json_get and friends walk it without allocation and without further errors:
   a missing member is a value of type NONE, and looking into NONE gives NONE.

   COMPILE-TIME OPTIONS, to define before the #include

     AZCHAN_IMPLEMENTATION   in one translation unit: the code
     AZCHAN_STATIC           declare and define all functions static
     AZC_SYS(call)           names the function used for each system call. Define it as my_##call
                             to bring your own transport, or to make calls fail in tests
     AZC_ASSERT(x)           default assert(x)

   RFC COVERAGE. 6455 except the client's side; extensions are never negotiated, so RSV bits are
   an error (1002). 9112 and 9110: GET and HEAD, keep-alive, absolute-form and origin-form,
   no request bodies. 8259 fully, with these documented limits: depth 64, and a \u escape that
   is half of a surrogate pair is refused. 3629 for all text, in and out. Upgrade over HTTP/2
   (8441) and TLS are a proxy's job.
*/
#if defined(AZCHAN_IMPLEMENTATION) && defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1 /* POSIX under strict -std=c99; must come before any system header */
#endif

#ifndef AZCHAN_H
#define AZCHAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef AZC_API
#ifdef AZCHAN_STATIC
#if defined(__GNUC__)
#define AZC_API static __attribute__((unused))
#else
#define AZC_API static
#endif
#else
#define AZC_API extern
#endif
#endif

/* ==== [1] API: everything a program calls ===================================================== */

/* Errors are negative, AZC_OK is zero. One list makes the enum and azc_strerror. */
#define AZC_ERRORS(X)                                                                            \
    X(ARGUMENT, -1, "an argument is NULL, empty, or outside what the manual allows")             \
    X(MEMORY, -2, "out of memory")                                                               \
    X(CLOSED, -3, "the connection is closed")                                                    \
    X(FULL, -4, "no room: over max_backlog, or past the end of a buffer")                        \
    X(STATE, -5, "not allowed at this moment")                                                   \
    X(PATTERN, -6, "bad path pattern")                                                           \
    X(CONFLICT, -7, "a route that could not be told from this one exists")                       \
    X(ADDRESS, -8, "bad or unavailable address")                                                 \
    X(IN_USE, -9, "the port or socket path is in use")                                           \
    X(SYSTEM, -10, "a system call failed")                                                       \
    X(JSON, -11, "not valid JSON")                                                               \
    X(TYPE, -12, "a JSON value of another type")                                                 \
    X(RANGE, -13, "a number that the type asked for cannot hold")                                \
    X(UTF8, -14, "not valid UTF-8")                                                              \
    X(APP, -15, "the program's own error")

#define AZC__ENUM(name, value, text) AZC_ERR_##name = value,
enum { AZC_OK = 0, AZC_ERRORS(AZC__ENUM) AZC__ERR_END = -16 };
#undef AZC__ENUM

typedef struct azc_server azc_server;
typedef struct azc_channel azc_channel; /* a registered path and its connections */
typedef struct azc_conn azc_conn;       /* one peer; while its request is handled, that request */

/* What an error code means: a static string, never NULL. Anywhere, any thread. */
AZC_API const char *azc_strerror(int code);

/* ---- Server --------------------------------------------------------------------------------- */

/* Zero is always the default. Milliseconds: negative means never. */
typedef struct azc_config {
    const char *host;     /* numeric IPv4 or IPv6 address, "localhost", or "unix:/path".
                             127.0.0.1; "0.0.0.0" or "::" (both families) open it to the world */
    int port;             /* 0: the kernel picks one, azc_port tells */
    const char *origins;  /* who may open channels from a browser: space-separated origins, like
                             "https://a.example http://b.example:8080", or "*". Default: pages
                             of the same host and port as Host. Others: 403. A request without
                             Origin is no browser's and passes (RFC 6455 10.2) */
    int max_connections;  /* the process's fd limit less 16. Past it the oldest unfinished
                             handshake gives way, else new peers wait in the kernel's queue */
    size_t max_request;   /* bytes of a request head, 8 KiB, and 64 fields. Past it: 431; 414
                             when the target alone is longer */
    size_t max_message;   /* bytes of a message in all its fragments, 64 KiB. Past it: 1009 */
    size_t max_backlog;   /* bytes queued and unsent per connection, 256 KiB, and raised to hold
                             at least one max_message. Past it: see azc_channel_desc.when_full.
                             Past half of it we stop reading from the peer until it drains */
    size_t read_buffer;   /* bytes, one per server, 64 KiB */
    int handshake_ms;     /* for a whole request head, 10 s. Past it: 408 if one was begun */
    int ping_ms;          /* a silent peer is pinged after this, 30 s */
    int pong_ms;          /* and dropped (1006) when silent for this long after, 10 s */
    int close_ms;         /* for the peer's Close frame and its end of TCP, 3 s. Then: dropped */
    void (*log)(void *log_user, const char *message); /* NULL: silent. One line, without its
                             newline; names the field above that would change what happened */
    void *log_user;
    void *(*alloc)(void *alloc_user, void *ptr, size_t old_size, size_t new_size);
                          /* NULL: malloc, realloc, free. new_size 0 frees, ptr NULL allocates.
                             Nothing else in here allocates */
    void *alloc_user;
} azc_config;

/* Create a server; nothing is opened but a pipe for azc_stop.
 *   config    copied; NULL: all defaults
 *   returns   NULL only when out of memory. A bad config is kept for azc_listen to return
 *   call      any thread; the server then belongs to the one that polls it */
AZC_API azc_server *azc_create(const azc_config *config);

/* Close everything and free it; on_close (1001) runs for whoever is connected.
 *   returns   AZC_ERR_STATE inside a callback (nothing happens). NULL is fine
 *   call      not from callbacks */
AZC_API int azc_destroy(azc_server *server);

/* Bind and listen on config.host and config.port.
 *   returns   AZC_OK (again, too) | the first error of azc_create, azc_use, azc_add_* |
 *             AZC_ERR_ADDRESS | AZC_ERR_IN_USE | AZC_ERR_SYSTEM; azc_error has the words */
AZC_API int azc_listen(azc_server *server);

/* The port listened on, 0 before azc_listen and for Unix sockets. Anywhere. */
AZC_API int azc_port(const azc_server *server);

/* azc_listen, then azc_poll until azc_stop was called and every peer is gone.
 *   returns   AZC_OK after a stop | an error of azc_listen or azc_poll
 *   call      not from callbacks */
AZC_API int azc_run(azc_server *server);

/* One turn of the loop: see A BYTE'S WAY. EINTR ends the wait early and is no error.
 *   timeout_ms  longest wait; 0 does not wait, negative waits for the next event
 *   returns   1 living on | 0 stopped: every peer is gone | AZC_ERR_STATE inside a callback or
 *             before azc_listen | AZC_ERR_SYSTEM
 *   call      not from callbacks; one thread */
AZC_API int azc_poll(azc_server *server, int timeout_ms);

/* Stop: no new peers, 1001 to each that is there; azc_run returns within close_ms.
 *   call      any thread, any callback, any signal handler; errno is kept */
AZC_API void azc_stop(azc_server *server);

/* The last error in words, with names and numbers ("port 4000 on 127.0.0.1 is in use").
 *   returns   never NULL; valid until the next call that fails. server may be NULL */
AZC_API const char *azc_error(const azc_server *server);

/* ---- Channels ------------------------------------------------------------------------------- */

enum { AZC_FULL_CLOSE = 0, AZC_FULL_DROP = 1 };

/* All callbacks are optional; all run on the loop's thread. Those returning int return AZC_OK or
 * any positive number, or a negative AZC_ERR_*: see QUICK START. */
typedef struct azc_channel_desc {
    const char *path;         /* "/chat", "/rooms/:room_id", "/files/" "*rest". Literal segments
                                 win over :params, those over a trailing *rest, which may be
                                 empty. Segments are compared after percent-decoding */
    const char *subprotocols; /* "v2.chat, v1.chat", best first; the first that the peer offered
                                 too is chosen, else none (RFC 6455 4.2.2) */
    size_t data_size;         /* bytes of azc_data per connection, zeroed */
    void *user;               /* azc_user */
    int when_full;            /* AZC_FULL_CLOSE: a send past max_backlog closes (1013);
                                 AZC_FULL_DROP: it returns AZC_ERR_FULL and that is all */
    int (*on_upgrade)(azc_conn *conn); /* before the 101. AZC_OK lets in; an HTTP status refuses
                                 (401, 403, ...), or azc_reply with your own; negative: 500 */
    int (*on_connect)(azc_conn *conn);
    int (*on_message)(azc_conn *conn, const char *text, size_t len);  /* valid UTF-8 */
    int (*on_binary)(azc_conn *conn, const void *data, size_t len);
    int (*on_ping)(azc_conn *conn, const void *data, size_t len);     /* answered already */
    int (*on_pong)(azc_conn *conn, const void *data, size_t len);
    int (*on_drain)(azc_conn *conn);   /* backlog was past half of max_backlog, or refused a
                                 send, and is below half again: time to go on */
    void (*on_close)(azc_conn *conn, int code, const char *reason); /* who closed first gave
                                 code and reason. 1005: none given; 1006: dropped. "" not NULL */
    void (*on_error)(azc_conn *conn, int error); /* a callback above returned this */
} azc_channel_desc;

/* Register a channel.
 *   desc      copied
 *   returns   the channel, or NULL: the error is kept, azc_listen returns it (AZC_ERR_PATTERN,
 *             AZC_ERR_CONFLICT, AZC_ERR_ARGUMENT, AZC_ERR_MEMORY)
 *   call      before azc_listen */
AZC_API azc_channel *azc_add_channel(azc_server *server, const azc_channel_desc *desc);

/* Queue one text or binary message.
 *   text,len  UTF-8; any bytes for binary; copied before return
 *   returns   AZC_OK | AZC_ERR_FULL (over max_backlog: nothing queued, when_full decides the
 *             rest) | AZC_ERR_CLOSED | AZC_ERR_UTF8 | AZC_ERR_MEMORY | AZC_ERR_STATE (a request)
 *   call      anywhere between on_connect and on_close
 *   RFC       6455 5.6 */
AZC_API int azc_send_text(azc_conn *conn, const char *text, size_t len);
AZC_API int azc_send_binary(azc_conn *conn, const void *data, size_t len);

/* Queue a ping of at most 125 bytes; the answer is on_pong. Returns and call as azc_send_text,
 * but max_backlog does not count. RFC 6455 5.5.2 */
AZC_API int azc_ping(azc_conn *conn, const void *data, size_t len);

/* Close: what is queued goes out, then a Close frame; on_close runs this turn.
 *   code      1000-1003, 1007-1014, 3000-4999, or 0 for a Close without one (1005)
 *   reason    at most 123 bytes of UTF-8, or NULL; copied
 *   returns   AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_UTF8 | AZC_ERR_CLOSED (it was already)
 *   call      anywhere from on_connect on
 *   RFC       6455 7.1, 7.4 */
AZC_API int azc_close(azc_conn *conn, int code, const char *reason);

/* Queue one message to many; its frame is encoded once.
 *   room      NULL: every connection of the channel
 *   except    left out, or NULL
 *   returns   how many took it (those with a full backlog did not) | AZC_ERR_ARGUMENT |
 *             AZC_ERR_UTF8 | AZC_ERR_MEMORY
 *   call      anywhere */
AZC_API int azc_broadcast(azc_channel *channel, const char *room, const char *text, size_t len,
                          const azc_conn *except);
AZC_API int azc_broadcast_binary(azc_channel *channel, const char *room, const void *data,
                                 size_t len, const azc_conn *except);

/* Bytes queued and not yet taken by the kernel. Anywhere. */
AZC_API size_t azc_backlog(const azc_conn *conn);

/* A connection's number: never 0, never used again in this server. Anywhere. */
AZC_API uint64_t azc_id(const azc_conn *conn);

/* The connection of that number, or NULL when it was closed or never was. Anywhere. */
AZC_API azc_conn *azc_find(azc_server *server, uint64_t id);

/* The connection's data_size bytes, from on_upgrade on (NULL when 0); the desc's user pointer;
 * where the connection belongs. NULL for a request outside channels. Anywhere. */
AZC_API void *azc_data(azc_conn *conn);
AZC_API void *azc_user(const azc_conn *conn);
AZC_API azc_channel *azc_channel_of(const azc_conn *conn);
AZC_API azc_server *azc_server_of(const azc_conn *conn);

/* ---- Rooms ---------------------------------------------------------------------------------- */

/* A room is a name in its channel, 1 to 255 bytes. It exists while someone is in it.
 *   azc_join  AZC_OK, also when already in | AZC_ERR_CLOSED | AZC_ERR_ARGUMENT |
 *             AZC_ERR_MEMORY (not in) | AZC_ERR_STATE (a request)
 *   azc_leave AZC_OK, also when not in | AZC_ERR_ARGUMENT | AZC_ERR_STATE
 *   call      anywhere; closing leaves all rooms by itself */
AZC_API int azc_join(azc_conn *conn, const char *room);
AZC_API int azc_leave(azc_conn *conn, const char *room);
AZC_API int azc_leave_all(azc_conn *conn);

/* How many connections a room has, or with room NULL the channel. Anywhere. */
AZC_API size_t azc_count(azc_channel *channel, const char *room);

/* Walk a room's (or with NULL the channel's) connections, or a connection's rooms:
 *
 *     for (azc_cursor c = azc_members(channel, "lobby"); azc_next(&c);) greet(c.conn);
 *     for (azc_cursor c = azc_rooms(conn); azc_next(&c);) puts(c.room);
 *
 * Inside the loop you may do anything: send, close, join, leave, walk again. Who comes in
 * meanwhile may or may not be met. A cursor is good until the callback returns; between polls,
 * until the next azc_poll. Connections that are closing are not met. */
typedef struct azc_cursor {
    azc_conn *conn;
    const char *room;
    void *azc__next;
    int azc__kind;
} azc_cursor;

AZC_API azc_cursor azc_members(azc_channel *channel, const char *room);
AZC_API azc_cursor azc_rooms(azc_conn *conn);
AZC_API int azc_next(azc_cursor *cursor); /* 1: fields are set; 0: that was all */

/* ---- What the peer asked -------------------------------------------------------------------- */

/* Strings of the request, percent-decoded UTF-8, or NULL when there is none of that name.
 *   azc_param    of the path pattern: "room_id" in "/rooms/:room_id"
 *   azc_query    of the query string, the first of that name; "" when it has no value; '+' is a
 *                space
 *   azc_peer     the peer's address without port, "unix" for a Unix socket; never NULL
 *   azc_target   path and query as sent
 *   azc_subprotocol  the one chosen
 *   call         in every callback of the connection; they live as long as it does */
AZC_API const char *azc_param(const azc_conn *conn, const char *name);
AZC_API const char *azc_query(const azc_conn *conn, const char *name);
AZC_API const char *azc_peer(const azc_conn *conn);
AZC_API const char *azc_target(const azc_conn *conn);
AZC_API const char *azc_subprotocol(const azc_conn *conn);

/* Only while a request is handled (azc_use and page handlers, on_upgrade), NULL later.
 *   azc_method   "GET"
 *   azc_header   a field's value by name, in any letter case: the first, if it was repeated
 *   azc_cookie   a cookie's value as sent
 *   call         those callbacks; the strings die when it returns. RFC 9110, 6265 */
AZC_API const char *azc_method(const azc_conn *conn);
AZC_API const char *azc_header(const azc_conn *conn, const char *name);
AZC_API const char *azc_cookie(const azc_conn *conn, const char *name);

/* ---- Requests and pages --------------------------------------------------------------------- */

/* Returns AZC_OK to pass the request on, or an HTTP status that answers it. After azc_reply the
 * result does not matter; a negative AZC_ERR_* makes a 500. */
typedef int (*azc_handler)(azc_conn *conn, void *user);

/* Add a handler to the chain that every well-formed request passes before routing, in the order
 * added. Returns AZC_OK | AZC_ERR_ARGUMENT | AZC_ERR_MEMORY | AZC_ERR_STATE (after azc_listen) */
AZC_API int azc_use(azc_server *server, azc_handler handler, void *user);

/* Ready-made for azc_use, with a FILE* as user (NULL: stderr): a line for each request, those
 * refused before any handler too, and for each close:
 *     127.0.0.1 GET /chat 101 129B 0ms
 *     127.0.0.1 WS /chat 1001 5210B 81230ms */
AZC_API int azc_logger(azc_conn *conn, void *file);

/* Serve bytes, or what a handler replies, at GET and HEAD of a path. Paths are as for channels;
 * a page and a channel may share one.
 *   bytes     by address: they must stay in place until azc_destroy
 *   returns   AZC_OK | AZC_ERR_PATTERN | AZC_ERR_CONFLICT | AZC_ERR_ARGUMENT | AZC_ERR_MEMORY |
 *             AZC_ERR_STATE (after azc_listen) */
AZC_API int azc_add_page(azc_server *server, const char *path, const char *type,
                         const void *bytes, size_t len);
AZC_API int azc_add_handler(azc_server *server, const char *path, azc_handler handler,
                            void *user);

/* Answer the request at hand.
 *   status    200 to 599
 *   type      Content-Type, or NULL for none
 *   body,len  copied
 *   returns   AZC_OK | AZC_ERR_STATE (not in a request, or answered) | AZC_ERR_ARGUMENT |
 *             AZC_ERR_FULL (over max_backlog) | AZC_ERR_MEMORY
 *   call      handlers and on_upgrade; azc_reply_header before azc_reply */
AZC_API int azc_reply(azc_conn *conn, int status, const char *type, const void *body, size_t len);
AZC_API int azc_reply_header(azc_conn *conn, const char *name, const char *value);

/* ---- JSON ----------------------------------------------------------------------------------- */

enum {
    AZC_JSON_NONE = 0, /* not there: a missing member, an index past the end */
    AZC_JSON_NULL,
    AZC_JSON_BOOL,
    AZC_JSON_NUMBER,
    AZC_JSON_STRING,
    AZC_JSON_ARRAY,
    AZC_JSON_OBJECT
};

/* A value: a view into the text that was read, which must outlive it. Pass by value. */
typedef struct azc_json {
    const char *text; /* its raw bytes, quotes and escapes included */
    size_t len;
    int type;
} azc_json;

/* Check a whole document and view it.
 *   returns   AZC_OK | AZC_ERR_JSON; then doc->type is NONE and doc->len the bad byte's offset
 *   call      any thread, as all of JSON
 *   RFC       8259; depth at most 64, no lone surrogates */
AZC_API int azc_json_read(azc_json *doc, const char *text, size_t len);

/* A member of an object (the last of that name), an element of an array; NONE if there is none. */
AZC_API azc_json azc_json_get(azc_json value, const char *name);
AZC_API azc_json azc_json_at(azc_json value, size_t index);

/* 1 if the value is the string s, after decoding. */
AZC_API int azc_json_equals(azc_json value, const char *s);

/* Decode a string into buf, with a NUL behind.
 *   returns   its length without the NUL | AZC_ERR_TYPE (buf is "") | AZC_ERR_FULL (buf has the
 *             whole characters that fit). With buf NULL: the length alone */
AZC_API int azc_json_string(azc_json value, char *buf, size_t size);

/* Numbers and booleans. The exact ones refuse fractions and what does not fit (1e2 is 100).
 *   returns   AZC_OK | AZC_ERR_TYPE | AZC_ERR_RANGE; *out is 0 then */
AZC_API int azc_json_double(azc_json value, double *out);
AZC_API int azc_json_i64(azc_json value, int64_t *out);
AZC_API int azc_json_u64(azc_json value, uint64_t *out);
AZC_API int azc_json_bool(azc_json value, int *out);

/* Walk an object or array: for (azc_json_iter i = azc_json_each(v); azc_json_next(&i);) ... */
typedef struct azc_json_iter {
    azc_json name; /* a string in objects, NONE in arrays */
    azc_json value;
    const char *azc__at, *azc__end;
    int azc__object;
} azc_json_iter;

AZC_API azc_json_iter azc_json_each(azc_json value);
AZC_API int azc_json_next(azc_json_iter *iter);

/* Write JSON into your buffer:
 *
 *     char buf[256];
 *     azc_writer w = azc_json_to(buf, sizeof buf);
 *     azc_put_string(&w, "type", "users");
 *     azc_put_int(&w, "count", 3);
 *     azc_send_json(conn, &w);                    // {"type":"users","count":3}
 *
 * A first put with a name opens the outermost object, which closes by itself. In arrays name is
 * NULL. Errors stick: the puts after one do nothing, and the end tells. */
typedef struct azc_writer {
    char *text;      /* the JSON, NUL-terminated after azc_json_finish */
    size_t len;
    size_t azc__size;
    uint64_t azc__arrays; /* bit n: the container at depth n is an array */
    int azc__depth, azc__state, azc__error;
} azc_writer;

AZC_API azc_writer azc_json_to(char *buf, size_t size);
AZC_API void azc_put_string(azc_writer *w, const char *name, const char *s); /* NULL s: null */
AZC_API void azc_put_text(azc_writer *w, const char *name, const char *s, size_t len);
AZC_API void azc_put_int(azc_writer *w, const char *name, int64_t value);
AZC_API void azc_put_uint(azc_writer *w, const char *name, uint64_t value);
AZC_API void azc_put_double(azc_writer *w, const char *name, double value); /* reads back equal */
AZC_API void azc_put_bool(azc_writer *w, const char *name, int value);
AZC_API void azc_put_null(azc_writer *w, const char *name);
AZC_API void azc_put_json(azc_writer *w, const char *name, azc_json value); /* as read; NONE: null */
AZC_API void azc_put_object(azc_writer *w, const char *name);
AZC_API void azc_put_array(azc_writer *w, const char *name);
AZC_API void azc_put_end(azc_writer *w); /* of the innermost azc_put_object or azc_put_array */

/* Was all of it written?
 *   returns   AZC_OK: w->text holds w->len bytes of valid JSON | AZC_ERR_FULL (did not fit) |
 *             AZC_ERR_UTF8 | AZC_ERR_RANGE (a NaN, an infinity, depth over 64) | AZC_ERR_STATE
 *             (a name missing or where none may be, an end too many or too few) */
AZC_API int azc_json_finish(azc_writer *w);

/* azc_json_finish, then send or broadcast as text. Returns what either would. */
AZC_API int azc_send_json(azc_conn *conn, azc_writer *w);
AZC_API int azc_broadcast_json(azc_channel *channel, const char *room, azc_writer *w,
                               const azc_conn *except);

#ifdef __cplusplus
}
#endif
#endif /* AZCHAN_H */
