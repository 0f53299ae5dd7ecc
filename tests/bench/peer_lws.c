/* peer_lws.c: the servers of server.c with libwebsockets.
 *
 *     peer_lws                 prints "port N pid P", serves 127.0.0.1:N until it is killed
 *
 * As its own examples do: messages wait in a queue of their session and leave in the WRITEABLE
 * callback; a broadcast's are shared by reference. Buffers are set as large as azchan.h's. */
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct message {
    size_t refs, len; /* LWS_PRE bytes and the payload follow */
} message;

typedef struct session {
    struct session *next; /* in the room */
    struct lws *wsi;
    message **queue;
    size_t first, count, cap;
    char *in; /* a message that comes in parts */
    size_t in_len;
    int room;
} session;

static session *room;

static unsigned char *payload(message *m) { return (unsigned char *)(m + 1) + LWS_PRE; }

static void *need(void *ptr) {
    if (ptr == NULL) abort();
    return ptr;
}

static void enqueue(session *s, message *m) {
    if (s->first + s->count == s->cap) {
        if (s->first > 0) memmove(s->queue, s->queue + s->first, s->count * sizeof *s->queue);
        s->first = 0;
        if (s->count == s->cap) {
            s->cap = s->cap ? s->cap * 2 : 4;
            s->queue = need(realloc(s->queue, s->cap * sizeof *s->queue));
        }
    }
    s->queue[s->first + s->count++] = m;
    m->refs++;
    lws_callback_on_writable(s->wsi);
}

static void release(message *m) {
    if (--m->refs == 0) free(m);
}

static void received(session *s, const void *data, size_t len) {
    message *m = need(malloc(sizeof *m + LWS_PRE + len));
    m->refs = 1;
    m->len = len;
    memcpy(payload(m), data, len);
    if (s->room) for (session *i = room; i != NULL; i = i->next) enqueue(i, m);
    else enqueue(s, m);
    release(m);
}

/* As many writes as the socket takes: faster than the one a callback of the simplest examples. */
static int writeable(session *s) {
    int n = 0;
    while (s->count > 0 && n >= 0) {
        message *m = s->queue[s->first++];
        s->count--;
        n = lws_write(s->wsi, payload(m), m->len, LWS_WRITE_TEXT);
        release(m);
        if (s->count > 0 && lws_send_pipe_choked(s->wsi)) break;
    }
    if (s->count == 0) s->first = 0;
    else lws_callback_on_writable(s->wsi);
    return n < 0 ? -1 : 0;
}

static void receive(session *s, const void *data, size_t len) {
    int whole = lws_is_final_fragment(s->wsi) && lws_remaining_packet_payload(s->wsi) == 0;
    if (whole && s->in_len == 0) {
        received(s, data, len);
        return;
    }
    size_t left = lws_remaining_packet_payload(s->wsi);
    if (s->in_len == 0) s->in = need(realloc(s->in, len + left));
    memcpy(s->in + s->in_len, data, len);
    s->in_len += len;
    if (!whole) return;
    received(s, s->in, s->in_len);
    free(s->in);
    s->in = NULL;
    s->in_len = 0;
}

static void established(session *s, struct lws *wsi) {
    char uri[16] = "";
    s->wsi = wsi;
    lws_hdr_copy(wsi, uri, sizeof uri, WSI_TOKEN_GET_URI);
    s->room = strcmp(uri, "/room") == 0;
    if (!s->room) return;
    s->next = room;
    room = s;
}

static void closed(session *s) {
    session **at = &room;
    while (*at != NULL && *at != s) at = &(*at)->next;
    if (*at == s) *at = s->next;
    for (; s->count > 0; s->count--) release(s->queue[s->first++]);
    free(s->queue);
    free(s->in);
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len) {
    session *s = user;
    switch ((int)reason) {
    case LWS_CALLBACK_ESTABLISHED: established(s, wsi); break;
    case LWS_CALLBACK_RECEIVE: receive(s, in, len); break;
    case LWS_CALLBACK_SERVER_WRITEABLE: return writeable(s);
    case LWS_CALLBACK_CLOSED: closed(s); break;
    default: break;
    }
    return 0;
}

int main(void) {
    struct lws_protocols protocols[2];
    struct lws_context_creation_info info;
    memset(protocols, 0, sizeof protocols);
    protocols[0].name = "bench";
    protocols[0].callback = callback;
    protocols[0].per_session_data_size = sizeof(session);
    protocols[0].rx_buffer_size = 64 << 10;
    memset(&info, 0, sizeof info);
    info.port = 0;
    info.iface = "127.0.0.1";
    info.protocols = protocols;
    info.pt_serv_buf_size = 64 << 10;
    info.options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_VALIDATE_UTF8;
    lws_set_log_level(0, NULL);
    struct lws_context *context = lws_create_context(&info);
    struct lws_vhost *vhost = context != NULL ? lws_create_vhost(context, &info) : NULL;
    if (vhost == NULL) return 1;
    printf("port %d pid %d\n", lws_get_vhost_listen_port(vhost), (int)getpid());
    fflush(stdout);
    while (lws_service(context, 0) >= 0) continue;
    lws_context_destroy(context);
    return 1; /* it is killed, or it failed */
}
