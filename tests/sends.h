/* sends.h: azc_send with the fields that tests set most. Each function returns the number of
 * connections that the message was queued for, or the error. Comes after azchan.h. */
#ifndef SENDS_H
#define SENDS_H

static inline int sent(azc_channel *channel, azc_message *m) {
    size_t queued = 0;
    m->queued = &queued;
    int error = azc_send(channel, m);
    return error != AZC_OK ? error : (int)queued;
}

static inline azc_message message_of(const char *room, const char *text, size_t len) {
    azc_message m;
    memset(&m, 0, sizeof m);
    m.room = room, m.text = text, m.len = len;
    return m;
}

static inline int sent_text(azc_channel *channel, const char *room, const char *text, size_t len,
                            const azc_conn *except) {
    azc_message m = message_of(room, text, len);
    m.except = except;
    return sent(channel, &m);
}

static inline int sent_binary(azc_channel *channel, const char *room, const void *data, size_t len,
                              const azc_conn *except) {
    azc_message m = message_of(room, NULL, len);
    m.binary = data, m.except = except;
    return sent(channel, &m);
}

static inline int sent_json(azc_channel *channel, const char *room, azc_writer *w,
                            const azc_conn *except) {
    azc_message m = message_of(room, NULL, 0);
    m.json = w, m.except = except;
    return sent(channel, &m);
}

static inline int sent_user(azc_channel *channel, const char *user, const char *text, size_t len) {
    azc_message m = message_of(NULL, text, len);
    m.user = user;
    return sent(channel, &m);
}

static inline int sent_local(azc_channel *channel, const char *room, const void *data, size_t len,
                             int binary) {
    azc_message m = message_of(room, binary ? NULL : (const char *)data, len);
    m.binary = binary ? data : NULL, m.local = 1;
    return sent(channel, &m);
}

/* To one connection, of this key. */
static inline int send_latest(azc_conn *conn, uint64_t key, const char *text, size_t len) {
    azc_message m = message_of(NULL, text, len);
    m.to = conn, m.key = key;
    return azc_send(azc_channel_of(conn), &m);
}

static inline int sent_latest(azc_channel *channel, const char *room, uint64_t key,
                              const char *text, size_t len, const azc_conn *except) {
    azc_message m = message_of(room, text, len);
    m.key = key, m.except = except;
    return sent(channel, &m);
}

static inline int sent_throttled(azc_channel *channel, const char *room, uint64_t key, int ms,
                                 const char *text, size_t len) {
    azc_message m = message_of(room, text, len);
    m.key = key, m.period_ms = ms;
    return sent(channel, &m);
}

static inline int sent_batched(azc_channel *channel, const char *room, int ms, const char *text,
                               size_t len) {
    azc_message m = message_of(room, text, len);
    m.batch = 1, m.period_ms = ms;
    return sent(channel, &m);
}

#endif
