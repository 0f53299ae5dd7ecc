/* threads.c: one chat on all cores: a server in each thread, all on one port, with common rooms.

       cc -I. examples/threads.c -o threads -lpthread && ./threads [[host:]port] [threads]

   Then open http://127.0.0.1:4000/ in several tabs; each page shows the thread that serves it. The
   kernel spreads new connections over the threads. What a peer sends to its room is a broadcast in
   its own thread, and is handed to the other threads as one counted note that they share.

   What holds across the threads:
   - A member gets each message once. One sender's messages keep their order; two senders' may be in
     another order in another thread.
   - A thread delivers AT_ONCE bytes a turn, so that its peers can read meanwhile. The notes that wait
     for it have at most MAX_WAITING bytes. A message that finds no room is lost for that thread's
     members; stderr says how many.
   - Each thread keeps its own history of all messages, also while it has no members in the room.
     azc_count, azc_members and azc_users see the members of one thread; `here` counts those of all.
   - SIGINT and SIGTERM stop all threads, and their peers see 1001. If one thread fails, all stop. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_THREADS = 64, MAX_HISTORY = 50, AT_ONCE = 64 << 10, MOST = 256 };
#ifndef MAX_WAITING
#define MAX_WAITING ((size_t)64 << 20)
#endif

/* ==== Notes: messages on their way to other threads =========================================== */

/* The room's name with its NUL follows the struct, then the message. */
typedef struct note {
    int refs; /* atomic: threads that have not delivered it yet */
    int binary;
    size_t room_len, len;
} note;

typedef struct worker {
    azc_server *server;
    azc_channel *chat;
    pthread_t thread;
    int number, error;

    pthread_mutex_t lock; /* for what follows */
    note **notes;         /* those from `first` on wait to be delivered here, in order */
    size_t first, count, cap, bytes;
    int posted;           /* notes_deliver will run */
    unsigned long lost;   /* notes for which there was no room */
} worker;

static worker workers[MAX_THREADS];
static int worker_count;
static int here; /* atomic: connections of all threads */

static void note_release(note *n) {
    if (__atomic_sub_fetch(&n->refs, 1, __ATOMIC_ACQ_REL) == 0) free(n);
}

static size_t note_size(const note *n) { return sizeof *n + n->room_len + n->len; }

/* Add a note to those that wait. Returns 0 if there is no room. */
static int note_add(worker *w, note *n) {
    if (w->bytes + note_size(n) > MAX_WAITING) return 0;
    if (w->first > 0 && w->first + w->count == w->cap) {
        memmove(w->notes, w->notes + w->first, w->count * sizeof *w->notes);
        w->first = 0;
    }
    if (w->count == w->cap) {
        size_t cap = w->cap ? 2 * w->cap : 64;
        note **notes = realloc(w->notes, cap * sizeof *notes);
        if (!notes) return 0;
        w->notes = notes;
        w->cap = cap;
    }
    w->notes[w->first + w->count++] = n;
    w->bytes += note_size(n);
    return 1;
}

/* Take notes of up to AT_ONCE bytes, and at least one. Returns how many. */
static size_t notes_take(worker *w, note *taken[MOST]) {
    size_t n = 0, size = 0;
    while (n < MOST && w->count > 0 && (n == 0 || size < AT_ONCE)) {
        taken[n] = w->notes[w->first++];
        w->count--;
        size += note_size(taken[n++]);
    }
    w->bytes -= size;
    if (w->count == 0) w->first = 0;
    return n;
}

/* A task: deliver some of the notes that wait. The rest is for a task of the next turn. */
static void notes_deliver(azc_server *server, void *arg) {
    worker *w = arg;
    note *taken[MOST];
    pthread_mutex_lock(&w->lock);
    size_t count = notes_take(w, taken);
    unsigned long lost = w->lost;
    w->lost = 0;
    w->posted = w->count > 0 && azc_post(server, notes_deliver, w) == AZC_OK;
    pthread_mutex_unlock(&w->lock);
    if (lost) fprintf(stderr, "thread %d is behind: %lu messages lost\n", w->number, lost);
    for (size_t i = 0; i < count; i++) {
        note *n = taken[i];
        const char *room = (const char *)(n + 1);
        azc_deliver(w->chat, room, room + n->room_len, n->len, n->binary);
        note_release(n);
    }
}

/* Hand a note to a thread, and post a task if none is queued. */
static void note_send(worker *w, note *n) {
    pthread_mutex_lock(&w->lock);
    int added = note_add(w, n);
    if (!added) w->lost++;
    if (!w->posted) w->posted = azc_post(w->server, notes_deliver, w) == AZC_OK;
    pthread_mutex_unlock(&w->lock);
    if (!added) note_release(n);
}

/* on_publish: a broadcast of this thread to a room. */
static void chat_publish(azc_channel *channel, const char *room, const void *data, size_t len,
                         int binary) {
    if (!room || worker_count == 1) return;
    size_t room_len = strlen(room) + 1;
    note *n = malloc(sizeof *n + room_len + len);
    if (!n) {
        fprintf(stderr, "out of memory: a message stays in its thread\n");
        return;
    }
    n->refs = worker_count - 1;
    n->binary = binary;
    n->room_len = room_len;
    n->len = len;
    char *bytes = (char *)(n + 1);
    memcpy(bytes, room, room_len);
    if (len) memcpy(bytes + room_len, data, len);
    for (int i = 0; i < worker_count; i++) {
        if (workers[i].chat != channel) note_send(&workers[i], n);
    }
}

/* ==== The chat ================================================================================ */

static const char page[] =
    "<!doctype html><html lang=en><meta charset=utf-8><link rel=icon href=data:,>"
    "<meta name=viewport content='width=device-width'><title>threads</title>"
    "<style>:root{color-scheme:light dark}body{font:1rem system-ui;max-width:40rem;margin:2rem auto;"
    "padding:0 1rem}input{font:inherit;width:100%;box-sizing:border-box}</style>"
    "<h1>One room, many threads</h1><p id=state role=status>Connecting...</p>"
    "<form><label>Message <input autocomplete=off autofocus></label></form><pre></pre><script>"
    "const $ = (s) => document.querySelector(s);"
    "let socket;"
    "function connect() {"
    "  socket = new WebSocket(location.origin.replace('http', 'ws') + '/rooms/lobby');"
    "  socket.onmessage = ({data}) => {"
    "    if (data.startsWith('/')) $('#state').textContent = data.slice(1);"
    "    else $('pre').append(data + '\\n');"
    "  };"
    "  socket.onclose = () => {"
    "    $('#state').textContent = 'Offline. Trying again...';"
    "    setTimeout(connect, 1000 + 2000 * Math.random());"
    "  };"
    "}"
    "$('form').onsubmit = (event) => {"
    "  event.preventDefault();"
    "  if (socket.readyState === 1 && $('input').value) socket.send($('input').value);"
    "  $('input').value = '';"
    "};"
    "connect();</script></html>";

static int chat_connect(azc_conn *conn) {
    const worker *w = azc_userdata(conn);
    char hello[80];
    int error = azc_join(conn, azc_param(conn, "room"));
    int count = __atomic_add_fetch(&here, 1, __ATOMIC_RELAXED);
    snprintf(hello, sizeof hello, "/Thread %d of %d serves this page. Connections: %d.",
             w->number + 1, worker_count, count);
    return error != AZC_OK ? error : azc_send_text(conn, hello, AZC_NUL);
}

static int chat_message(azc_conn *conn, const char *text, size_t len) {
    return azc_broadcast(azc_channel_of(conn), azc_param(conn, "room"), text, len, NULL);
}

static int chat_binary(azc_conn *conn, const void *data, size_t len) {
    return azc_broadcast_binary(azc_channel_of(conn), azc_param(conn, "room"), data, len, NULL);
}

static void chat_close(azc_conn *conn, int code, const char *reason) {
    (void)conn, (void)code, (void)reason;
    __atomic_sub_fetch(&here, 1, __ATOMIC_RELAXED);
}

/* ==== The threads ============================================================================= */

/* A listening server. Returns 0 on an error, which the log has explained. */
static int worker_open(worker *w, const char *host, int port) {
    azc_config config = {0};
    config.host = host;
    config.port = port;
    config.reuse_port = 1;

    azc_channel_desc desc = {0};
    desc.path = "/rooms/:room";
    desc.on_connect = chat_connect;
    desc.on_message = chat_message;
    desc.on_binary = chat_binary;
    desc.on_close = chat_close;
    desc.userdata = w;

    pthread_mutex_init(&w->lock, NULL);
    w->server = azc_create(&config);
    azc_log_to(w->server, stderr, AZC_LOG_WARNING);
    w->chat = azc_add_channel(w->server, &desc);
    azc_on_publish(w->chat, chat_publish);
    azc_set_history(w->chat, "lobby", MAX_HISTORY, 32 << 10);
    azc_add_page(w->server, "/", "text/html; charset=utf-8", page, sizeof page - 1);
    return azc_listen(w->server) == AZC_OK;
}

static void *worker_run(void *arg) {
    worker *w = arg;
    w->error = azc_run(w->server);
    if (w->error != AZC_OK) kill(getpid(), SIGTERM); /* the others must not go on without it */
    return NULL;
}

/* azc_destroy runs the task that is queued, so the notes that are left come after it. */
static void worker_close(worker *w) {
    azc_destroy(w->server);
    for (size_t i = 0; i < w->count; i++) note_release(w->notes[w->first + i]);
    free(w->notes);
    pthread_mutex_destroy(&w->lock);
}

/* Open count servers on one port, which the first may choose: the others have its host without a
   port. Returns 0 on an error. */
static int workers_open(const char *host, int count) {
    char others[300];
    snprintf(others, sizeof others, "%s", host && strspn(host, "0123456789") < strlen(host)
                                          ? host : "127.0.0.1");
    char *colon = strrchr(others, ':'), *bracket = strrchr(others, ']');
    if (colon && (bracket ? colon > bracket : colon == strchr(others, ':'))) *colon = 0;
    for (int i = 0; i < count; i++) {
        workers[i].number = i;
        worker_count++;
        if (!worker_open(&workers[i], i ? others : host, i ? azc_port(workers[0].server) : 4000))
            return 0;
    }
    return 1;
}

int main(int argc, char **argv) {
    long cores = argc > 2 ? atol(argv[2]) : sysconf(_SC_NPROCESSORS_ONLN);
    int count = cores < 1 ? 1 : cores > MAX_THREADS ? MAX_THREADS : (int)cores;
    int failed = 0, number;
    if (argc > 1 && strncmp(argv[1], "unix:", 5) == 0) count = 1; /* only one can listen there */
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL); /* in all threads: the main one waits for them */

    if (workers_open(argc > 1 ? argv[1] : NULL, count)) {
        puts(azc_url(workers[0].server, "http", "/"));
        fflush(stdout);
        for (int i = 0; i < count; i++) {
            if (pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0) continue;
            perror("pthread_create");
            return 1;
        }
        sigwait(&stop, &number);
        for (int i = 0; i < count; i++) azc_stop(workers[i].server);
        for (int i = 0; i < count; i++) pthread_join(workers[i].thread, NULL);
        for (int i = 0; i < count; i++) failed |= workers[i].error != AZC_OK;
    } else {
        failed = 1;
    }
    for (int i = 0; i < worker_count; i++) worker_close(&workers[i]);
    return failed;
}
