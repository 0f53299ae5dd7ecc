/* Request heads against a reference that splits where azchan.h steps: the scan for the end in any
 * cuts, the parse, and every string that a program may ask for. Input: a digit that picks the limit
 * of the head, a seed for the cuts, a newline, then the head and what follows it. */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include "fuzz.h"
#include <strings.h>

int FUZZ_TARGET(const uint8_t *data, size_t size);

enum { HTTP_MOST = 1024 };

/* ---- The reference --------------------------------------------------------------------------- */

typedef struct http_text { /* a part of the head */
    const char *p;
    size_t n;
} http_text;

typedef struct http_wanted {
    http_text method, target, path, query, host, origin;
    http_text names[AZC__MAX_FIELDS], values[AZC__MAX_FIELDS];
    int fields, has_query, has_origin, http10, keep_alive, upgrade, chunked;
    uint64_t body;
} http_wanted;

static http_text http_make(const char *p, size_t n) {
    http_text text = {p, n};
    return text;
}

/* How many of the bytes of t, from `from` on, are in the set. */
static size_t http_span(http_text t, size_t from, const char *set) {
    size_t i = from;
    while (i < t.n && t.p[i] != 0 && strchr(set, t.p[i]) != NULL) i++;
    return i - from;
}
/* Where c first is, or t.n. */
static size_t http_find(http_text t, size_t from, char c) {
    while (from < t.n && t.p[from] != c) from++;
    return from;
}
static http_text http_trim(http_text t) {
    size_t skip = http_span(t, 0, " \t");
    t.p += skip, t.n -= skip;
    while (t.n > 0 && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t')) t.n--;
    return t;
}
static char http_low(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c; }
static int http_is(http_text t, const char *word) { /* in any letter case */
    if (t.n != strlen(word)) return 0;
    for (size_t i = 0; i < t.n; i++) {
        if (http_low(t.p[i]) != http_low(word[i])) return 0;
    }
    return 1;
}
static int http_exactly(http_text t, const char *word) {
    return strlen(word) == t.n && memcmp(word, t.p, t.n) == 0;
}

#define HTTP_DIGIT "0123456789"
#define HTTP_ALPHA "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define HTTP_TOKEN "!#$%&'*+-.^_`|~" HTTP_DIGIT HTTP_ALPHA

/* Where the head ends: the answer of azc__http_scan for all n bytes at once. */
static int http_scan_wanted(const uint8_t *p, size_t n, size_t max) {
    size_t lines = 0, start = 0;
    for (;;) {
        size_t end = start;
        while (end < n && ((p[end] >= 32 && p[end] != 127) || p[end] == '\t')) end++;
        if (end >= max && n > max) return lines > 0 ? -431 : -414;
        if (end == n) return 0;
        if (p[end] != '\r') return -400;
        if (end + 1 >= max && n > max) return lines > 0 ? -431 : -414;
        if (end + 1 == n) return 0;
        if (p[end + 1] != '\n') return -400;
        if (end == start && lines > 0) return (int)end + 2;
        if (end == start && start > 0) return -400;
        if (end > start && ++lines > 65) return -431;
        start = end + 2;
    }
}

static int http_authority_wanted(http_text t) {
    size_t i;
    if (t.n == 0) return 1;
    if (*t.p == '[') {
        i = 1 + http_span(t, 1, HTTP_DIGIT "abcdefABCDEF:.");
        if (i == 1 || i == t.n || t.p[i++] != ']') return 0;
    } else {
        i = http_span(t, 0, HTTP_DIGIT HTTP_ALPHA "-._~%!$&'()*+,;=");
        if (i == 0) return 0;
    }
    return i == t.n || (t.p[i] == ':' && i + 1 + http_span(t, i + 1, HTTP_DIGIT) == t.n);
}

static int http_line_wanted(http_wanted *w, http_text line) {
    size_t method = http_span(line, 0, HTTP_TOKEN), target = http_find(line, method + 1, ' ');
    if (method == 0 || method >= line.n || line.p[method] != ' ' || target == method + 1 ||
        target >= line.n || line.n - target != 9) return -400;
    http_text version = http_make(line.p + target + 1, 8);
    if (memcmp(version.p, "HTTP/", 5) != 0 || http_span(version, 5, HTTP_DIGIT) != 1 ||
        version.p[6] != '.' || http_span(version, 7, HTTP_DIGIT) != 1) return -400;
    w->method = http_make(line.p, method);
    w->target = http_make(line.p + method + 1, target - method - 1);
    w->http10 = version.p[7] == '0';
    return version.p[5] != '1' ? -505 : 0;
}

static int http_field_wanted(http_wanted *w, http_text line) {
    size_t name = http_span(line, 0, HTTP_TOKEN);
    if (name == 0 || name == line.n || line.p[name] != ':') return -400;
    FUZZ_CHECK(w->fields < AZC__MAX_FIELDS); /* the scan sees to it */
    w->names[w->fields] = http_make(line.p, name);
    w->values[w->fields++] = http_trim(http_make(line.p + name + 1, line.n - name - 1));
    return 0;
}

static int http_target_wanted(http_wanted *w) {
    http_text t = w->target;
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] <= ' ' || t.p[i] > '~' || t.p[i] == '#') return -400;
    }
    int asterisk = http_exactly(t, "*") && http_exactly(w->method, "OPTIONS");
    if (*t.p != '/' && !asterisk) {
        static const char *const schemes[] = {"http://", "https://", "ws://", "wss://"};
        size_t skip = 0;
        for (int i = 0; i < 4; i++) {
            size_t n = strlen(schemes[i]);
            if (t.n >= n && http_is(http_make(t.p, n), schemes[i])) skip = n;
        }
        if (skip == 0) return -400;
        size_t slash = http_find(t, skip, '/'), ask = http_find(t, skip, '?');
        size_t end = slash < ask ? slash : ask;
        w->host = http_make(t.p + skip, end - skip);
        if (w->host.n == 0) return -400;
        t.p += end, t.n -= end;
    }
    size_t ask = http_find(t, 0, '?');
    w->path = http_make(t.p, ask);
    w->has_query = ask < t.n;
    if (w->has_query) w->query = http_make(t.p + ask + 1, t.n - ask - 1);
    return 0;
}

static int http_count_wanted(const http_wanted *w, const char *name, http_text *first) {
    int count = 0;
    for (int i = w->fields; i-- > 0;) {
        if (!http_is(w->names[i], name)) continue;
        if (first != NULL) *first = w->values[i];
        count++;
    }
    return count;
}

static int http_has_wanted(const http_wanted *w, const char *name, const char *token) {
    for (int i = 0; i < w->fields; i++) {
        http_text v = w->values[i];
        for (size_t from = 0, to; http_is(w->names[i], name) && from < v.n; from = to + 1) {
            to = http_find(v, from, ',');
            if (http_is(http_trim(http_make(v.p + from, to - from)), token)) return 1;
        }
    }
    return 0;
}

static int http_parse_wanted(http_wanted *w, http_text head) {
    int status = 0, first = 1;
    memset(w, 0, sizeof *w);
    for (size_t at = 0, end; at < head.n && status == 0; at = end + 2) {
        end = http_find(head, at, '\r');
        http_text line = http_make(head.p + at, end - at);
        if (line.n == 0) continue;
        status = first ? http_line_wanted(w, line) : http_field_wanted(w, line);
        first = 0;
    }
    if (status == 0) status = http_target_wanted(w);
    if (status < 0) return status;
    http_text host = {"", 0}, length = {"", 0};
    int hosts = http_count_wanted(w, "Host", &host);
    if (hosts != 1 && !(hosts == 0 && w->http10)) return -400;
    if (!http_authority_wanted(host)) return -400;
    if (w->host.p != NULL && !http_authority_wanted(w->host)) return -400;
    if (w->host.p == NULL) w->host = host;
    w->has_origin = http_count_wanted(w, "Origin", &w->origin);
    w->keep_alive = !w->http10 && !http_has_wanted(w, "Connection", "close");
    w->upgrade = !w->http10 && http_has_wanted(w, "Connection", "upgrade") &&
                 http_has_wanted(w, "Upgrade", "websocket");
    w->chunked = http_count_wanted(w, "Transfer-Encoding", NULL) > 0;
    if (w->chunked && w->http10) return -400;
    int lengths = http_count_wanted(w, "Content-Length", &length);
    if (lengths == 0) return 0;
    if (lengths > 1 || w->chunked || length.n == 0) return -400;
    if (http_span(length, 0, HTTP_DIGIT) != length.n) return -400;
    size_t zeros = http_span(length, 0, "0");
    if (length.n - zeros > 20) return -400;
    for (size_t i = zeros; i < length.n; i++) {
        uint64_t digit = (uint64_t)(length.p[i] - '0');
        if (w->body > (UINT64_MAX - digit) / 10) return -400;
        w->body = w->body * 10 + digit;
    }
    return 0;
}

/* May an origin be in config.origins? */
static int http_entry_wanted(http_text e) {
    static const char letters[] = HTTP_ALPHA HTTP_DIGIT "+-._";
    if (http_is(e, "*") || http_is(e, "null")) return 1;
    size_t n = http_span(e, 0, letters);
    http_text scheme = http_make(e.p, n);
    if (n == 0 || e.n - n < 3 || memcmp(e.p + n, "://", 3) != 0) return 0;
    if (http_is(scheme, "ws") || http_is(scheme, "wss")) return 0;
    int web = http_is(scheme, "https") ? 443 : http_is(scheme, "http") ? 80 : 0;
    http_text host = http_make(e.p + n + 3, e.n - n - 3);
    if (host.n > 2 && memcmp(host.p, "*.", 2) == 0) host.p += 2, host.n -= 2;
    if (host.n > 0 && *host.p == '[') {
        n = 1 + http_span(host, 1, HTTP_DIGIT "abcdefABCDEF:.");
        if (n == 1 || n == host.n || host.p[n++] != ']') return 0;
    } else {
        n = http_span(host, 0, letters);
        if (web && (n == 0 || *host.p == '.')) return 0;
    }
    if (n == host.n) return 1;
    size_t digits = host.p[n] == ':' ? http_span(host, n + 1, HTTP_DIGIT) : 0;
    if (digits == 0 || digits > 5 || n + 1 + digits != host.n) return 0;
    int port = atoi(host.p + n + 1);
    return host.p[n + 1] != '0' && port < 65536 && port != web;
}

/* Does an entry of the lists below match? */
static int http_matches_wanted(http_text o, const char *entry) {
    const char *star = strchr(entry, '*');
    if (star == NULL) return http_is(o, entry);
    if (entry[1] == 0) return 1;
    size_t start = (size_t)(star - entry), rest = strlen(star + 1);
    char text[64];
    if (o.n < start + rest + 1) return 0;
    memcpy(text, entry, start);
    text[start] = 0;
    if (!http_is(http_make(o.p, start), text)) return 0;
    if (!http_is(http_make(o.p + o.n - rest, rest), star + 1)) return 0;
    http_text labels = http_make(o.p + start, o.n - start - rest + 1); /* with the dot behind */
    for (size_t from = 0, to; from < labels.n; from = to + 1) {
        to = http_find(labels, from, '.');
        if (to == from || http_span(labels, from, HTTP_ALPHA HTTP_DIGIT "+-_") != to - from)
            return 0;
    }
    return 1;
}

static int http_origin_wanted(const http_wanted *w, const char *allowed) {
    http_text o = w->origin, h = w->host;
    if (w->has_origin == 0) return 1;
    if (w->has_origin > 1 || (o.n > 0 && *o.p == '?')) return 0; /* RFC 6454 7: none begins so */
    if (allowed != NULL) {
        char list[200], *save = NULL;
        snprintf(list, sizeof list, "%s", allowed);
        for (char *one = strtok_r(list, " ", &save); one; one = strtok_r(NULL, " ", &save)) {
            if (http_matches_wanted(o, one)) return 1;
        }
        return 0;
    }
    size_t colon = http_find(o, 0, ':');
    while (colon < o.n && (o.n - colon < 3 || memcmp(o.p + colon, "://", 3) != 0))
        colon = http_find(o, colon + 1, ':');
    if (colon == o.n) return 0;
    http_text scheme = http_make(o.p, colon);
    if (!http_is(scheme, "http") && !http_is(scheme, "https")) return 0;
    const char *port = http_is(http_make(o.p, colon), "https") ? ":443" : ":80";
    o.p += colon + 3, o.n -= colon + 3;
    size_t k = strlen(port);
    if (o.n > k && http_is(http_make(o.p + o.n - k, k), port)) o.n -= k;
    if (h.n > k && http_is(http_make(h.p + h.n - k, k), port)) h.n -= k;
    if (o.n != h.n) return 0;
    for (size_t i = 0; i < o.n; i++) {
        if (http_low(o.p[i]) != http_low(h.p[i])) return 0;
    }
    return 1;
}

/* Percent-decode into out, with a NUL behind. Returns the bytes, or -1. */
static int http_decode_wanted(char *out, http_text t, int plus) {
    int n = 0;
    for (size_t i = 0; i < t.n; i++) {
        unsigned value = (unsigned char)t.p[i];
        if (plus && value == '+') value = ' ';
        if (value == '%') {
            char hex[3] = {0};
            if (i + 2 >= t.n || http_span(t, i + 1, HTTP_DIGIT "abcdefABCDEF") < 2) return -1;
            memcpy(hex, t.p + i + 1, 2);
            value = (unsigned)strtoul(hex, NULL, 16);
            i += 2;
        }
        if (value == 0) return -1;
        out[n++] = (char)value;
    }
    out[n] = 0;
    return fuzz_text(out, (size_t)n, NULL) == 1 ? n : -1;
}

/* ---- The properties -------------------------------------------------------------------------- */

static azc_server *http_server;
static const http_wanted *http_want;
static int http_handled;

/* Any route: its parameters in their order are the path's segments. */
static int http_handler(azc_conn *conn, void *user) {
    char path[HTTP_MOST + 8], *to = path, decoded[HTTP_MOST + 8];
    (void)user;
    for (int i = 0; i < 3; i++) {
        static const char *const names[] = {"a", "b", "rest"};
        const char *value = azc_param(conn, names[i]);
        if (value == NULL) continue;
        FUZZ_CHECK(fuzz_text(value, strlen(value), NULL) == 1);
        to += snprintf(to, sizeof path - (size_t)(to - path), "/%s", value);
    }
    int n = http_decode_wanted(decoded, http_want->path, 0);
    FUZZ_CHECK(n >= 0);
    if (to > path) FUZZ_CHECK(strcmp(path, decoded) == 0);
    else FUZZ_CHECK(n == 0 || strcmp(decoded, "/") == 0);
    FUZZ_CHECK(azc_param(conn, "c") == NULL && azc_param(conn, "") == NULL);
    FUZZ_CHECK(azc_reply_header(conn, "X-Path", "there") == AZC_OK);
    http_handled++;
    return azc_reply(conn, 200, "text/plain", path, (size_t)(to - path));
}

/* The chain: azc_path is the whole path, decoded. */
static int http_anything(azc_conn *conn, void *user) {
    char decoded[HTTP_MOST + 8] = "/";
    (void)user;
    if (http_want->path.n > 0) FUZZ_CHECK(http_decode_wanted(decoded, http_want->path, 0) >= 0);
    FUZZ_CHECK(strcmp(azc_path(conn), decoded) == 0 && azc_path(conn) == azc_path(conn));
    http_handled = 1;
    return AZC_OK;
}

/* One server for all inputs: nothing of a request stays behind. */
static azc_server *http_serve(void) {
    azc_config config;
    memset(&config, 0, sizeof config);
    config.max_request = HTTP_MOST;
    azc_server *s = azc_create(&config);
    if (s == NULL || azc_use(s, http_anything, NULL) != AZC_OK ||
        azc_trust_proxies(s, " 10.0.0.0/8  fc00::/7 127.0.0.1 ") != AZC_OK ||
        azc_add_handler(s, "/", http_handler, NULL) != AZC_OK ||
        azc_add_handler(s, "/:a", http_handler, NULL) != AZC_OK ||
        azc_add_handler(s, "/:a/:b", http_handler, NULL) != AZC_OK ||
        azc_add_handler(s, "/:a/:b/*rest", http_handler, NULL) != AZC_OK) abort();
    s->proxies = NULL; /* http_check_forwarded alone believes them */
    azc__source_unwatch(s, &s->wake); /* in test_all_fuzz the kernel is fuzz_conn's */
    return s;
}

static void http_check_fields(azc_conn *conn, const http_wanted *w) {
    for (int i = 0; i < w->fields; i++) {
        const azc__field *f = &http_server->request.fields[i];
        FUZZ_CHECK(http_exactly(w->names[i], f->name) && http_exactly(w->values[i], f->value));
        http_text first = {"", 0};
        int at = 0, wanted = http_count_wanted(w, f->name, &first);
        for (; wanted > 0; wanted--)
            FUZZ_CHECK(azc__http_next(&http_server->request, f->name, &at) != NULL);
        FUZZ_CHECK(azc__http_next(&http_server->request, f->name, &at) == NULL);
        FUZZ_CHECK(http_exactly(first, azc_header(conn, f->name)));
    }
    FUZZ_CHECK(azc_header(conn, "") == NULL);
}

static void http_check_query(azc_conn *conn, const http_wanted *w) {
    char name[HTTP_MOST + 1], value[HTTP_MOST + 1];
    const char *p = azc__strings_query(conn);
    for (size_t at = 0, end; at < w->query.n; at = end + 1) {
        end = http_find(w->query, at, '&');
        size_t equals = http_find(w->query, at, '=');
        if (equals > end) equals = end;
        http_text v = http_make(w->query.p + equals, end - equals);
        if (v.n > 0) v.p++, v.n--;
        FUZZ_CHECK(http_decode_wanted(name, http_make(w->query.p + at, equals - at), 1) >= 0);
        FUZZ_CHECK(http_decode_wanted(value, v, 1) >= 0);
        if (*name == 0) continue;
        FUZZ_CHECK(strcmp(p, name) == 0);
        FUZZ_CHECK(strcmp(azc__string_next(p), value) == 0);
        const char *first = azc_query(conn, name);
        FUZZ_CHECK(first != NULL && first <= azc__string_next(p));
        p = azc__string_next(azc__string_next(p));
    }
    FUZZ_CHECK(*p == 0);
}

/* Is the path and the query what it should be? */
static int http_strings_wanted(const http_wanted *w) {
    char out[HTTP_MOST + 1];
    for (size_t at = 0, end; at < w->path.n; at = end) {
        end = http_find(w->path, at + 1, '/');
        if (http_decode_wanted(out, http_make(w->path.p + at, end - at), 0) < 0) return 0;
    }
    for (size_t at = 0, end; at < w->query.n; at = end + 1) {
        end = http_find(w->query, at, '&');
        size_t equals = http_find(w->query, at, '=');
        if (equals > end) equals = end;
        http_text v = http_make(w->query.p + equals, end - equals);
        if (v.n > 0) v.p++, v.n--;
        if (http_decode_wanted(out, http_make(w->query.p + at, equals - at), 1) < 0 ||
            http_decode_wanted(out, v, 1) < 0) return 0;
    }
    return 1;
}

static void http_check_cookies(azc_conn *conn, const http_wanted *w) {
    char name[HTTP_MOST + 1];
    for (int i = 0; i < w->fields; i++) {
        http_text v = w->values[i];
        if (!http_is(w->names[i], "Cookie")) continue;
        for (size_t at = 0, end; at < v.n; at = end + 1) {
            end = http_find(v, at, ';');
            at += http_span(v, at, " ");
            size_t equals = http_find(v, at, '=');
            if (equals <= at || equals >= end) continue;
            memcpy(name, v.p + at, equals - at);
            name[equals - at] = 0;
            const char *got = azc_cookie(conn, name);
            FUZZ_CHECK(got != NULL);
            int known = 0; /* the first of that name */
            for (const char *p = http_server->request.cookies; *p && !known;
                 p = azc__string_next(azc__string_next(p)))
                known = strcmp(p, name) == 0 && azc__string_next(p) == got;
            FUZZ_CHECK(known);
        }
    }
    FUZZ_CHECK(azc_cookie(conn, "") == NULL);
}

/* The buffers of decoding are as long as their makers reckon, and no longer. */
static void http_check_tight(const http_wanted *w) {
    size_t n = w->path.n + 1;
    char *tight = (char *)malloc(n), *at = tight;
    if (tight == NULL) abort();
    int count = azc__route_split(&at, w->path.p, w->path.n);
    int slashes = 0;
    for (size_t i = 1; i < w->path.n; i++) slashes += w->path.p[i] == '/';
    FUZZ_CHECK(at <= tight + n && (count < 0 || count == slashes + 1));
    free(tight);
}

/* Answer it; nothing but the answer is left. */
static void http_check_answer(azc_conn *conn, const http_wanted *w, int status) {
    char start[16] = "";
    azc__request *r = &http_server->request;
    http_want = w;
    http_handled = 0;
    azc__request_answer(conn, status);
    FUZZ_CHECK(r->answered && conn->out.bytes > 20 && conn->out.bytes == r->sent);
    FUZZ_CHECK((http_handled > 0) == (status == 0 && http_strings_wanted(w)));
    memcpy(start, conn->out.head->data, 13);
    FUZZ_CHECK(strncmp(start, "HTTP/1.1 ", 9) == 0 && atoi(start + 9) == r->status);
    FUZZ_CHECK(status == 0 || r->status == -status || r->status == 400);
    FUZZ_CHECK((conn->state == AZC__HTTP) == (r->keep_alive && r->status < 400));
}

/* An address in n bytes of text, by libc alone, when quotes, brackets and port are off: its family,
 * and whether it is a proxy's. */
static int http_address_wanted(const char *text, size_t n, unsigned char raw[16], int *proxy) {
    char copy[64];
    int bracket = 0, colons = 0;
    if (n >= 2 && text[0] == '"' && text[n - 1] == '"') text++, n -= 2;
    for (size_t i = 0; i < n; i++) colons += text[i] == ':';
    http_text t = http_make(text, n);
    size_t end = n > 0 && *text == '[' ? http_find(t, 0, ']')
                 : colons == 1 ? http_find(t, 0, ':') : n;
    if (n > 0 && *text == '[' && end < n) {
        bracket = 1;
        t.p++, t.n = end - 1;
        text += end + 1, n -= end + 1;
    } else {
        t.n = end;
        text += end, n -= end;
    }
    if (n > 0 && (*text != ':' || n < 2 || n > 6 ||
                  http_span(http_make(text, n), 1, HTTP_DIGIT) != n - 1)) return 0;
    if (bracket && http_find(t, 0, ':') == t.n) return 0;
    text = t.p, n = t.n;
    unsigned char six[16];
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255};
    if (n >= sizeof copy) return 0;
    memcpy(copy, text, n);
    copy[n] = 0;
    int v4 = inet_pton(AF_INET, copy, raw) == 1;
    if (!v4 && inet_pton(AF_INET6, copy, six) != 1) return 0;
    if (!v4 && memcmp(six, mapped, 12) == 0) memcpy(raw, six + 12, 4), v4 = 1;
    if (!v4) memcpy(raw, six, 16);
    *proxy = v4 ? raw[0] == 10 || memcmp(raw, "\x7f\0\0\x01", 4) == 0 : raw[0] >> 1 == 0x7E;
    return v4 ? AF_INET : AF_INET6;
}

/* The visitor: read from the right, as long as the addresses are trusted. */
static void http_check_forwarded(const azc__request *from) {
    azc__request *r = (azc__request *)malloc(sizeof *r);
    if (r == NULL) abort();
    unsigned char want[16] = {127, 0, 0, 1}, next[16];
    int family = AF_INET, proxy = 1, ends = 0;
    memcpy(r, from, sizeof *r);
    r->visitor.family = AF_INET;
    memcpy(r->visitor.raw, want, 16);
    azc__proxies_forwarded(http_server, r);
    for (int i = from->field_count; i-- > 0 && !ends;) {
        const char *text = from->fields[i].value;
        if (strcasecmp(from->fields[i].name, "X-Forwarded-For") != 0) continue;
        for (size_t end = strlen(text) + 1; end-- > 0 && !ends;) {
            size_t to = end;
            while (end > 0 && text[end - 1] != ',') end--;
            size_t start = end + strspn(text + end, " \t");
            while (to > start && (text[to - 1] == ' ' || text[to - 1] == '\t')) to--;
            if (to <= start) continue;
            int it = http_address_wanted(text + start, to - start, next, &proxy);
            if (it != 0) family = it, memcpy(want, next, 16);
            ends = it == 0 || !proxy;
        }
    }
    FUZZ_CHECK(r->proxied && r->visitor.family == family);
    FUZZ_CHECK(memcmp(r->visitor.raw, want, family == AF_INET ? 4 : 16) == 0);
    FUZZ_CHECK(r->host_len == 0 || azc__http_authority(r->host, r->host_len));
    free(r);
}

static void http_check_parse(const uint8_t *bytes, size_t n) {
    static const char *const lists[] = {NULL, "*", "http://a", "https://a.example http://b:81 ",
                                        "https://*.example http://*.b:81"};
    static http_wanted w;
    azc_server *s = http_server;
    azc__request *r = &s->request;
    static const azc__visitor address = {AF_INET, {127, 0, 0, 1}};
    azc_conn *conn = azc__conn_make(s, -1, &address);
    char *head = (char *)fuzz_copy(bytes, n, 0);
    int wanted = http_parse_wanted(&w, http_make((const char *)bytes, n));
    int status = azc__http_parse(r, head, n);
    FUZZ_CHECK(conn != NULL && status == wanted);
    if (status == 0) {
        FUZZ_CHECK(http_exactly(w.method, r->method) && http_exactly(w.target, r->target));
        FUZZ_CHECK(w.path.n == r->path_len && memcmp(w.path.p, r->path, r->path_len) == 0);
        FUZZ_CHECK(w.host.n == r->host_len && memcmp(w.host.p, r->host, r->host_len) == 0);
        FUZZ_CHECK(w.has_query == (r->query != NULL));
        FUZZ_CHECK(r->query == NULL || http_exactly(w.query, r->query));
        FUZZ_CHECK(w.fields == r->field_count && w.chunked == r->chunked);
        FUZZ_CHECK((w.body > 0) == r->body);
        FUZZ_CHECK(w.upgrade == r->upgrade && w.keep_alive == r->keep_alive);
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
            FUZZ_CHECK(http_origin_wanted(&w, lists[i]) == azc__http_origin(r, lists[i]));
        if (w.has_origin)
            FUZZ_CHECK(azc__origin_valid(w.origin.p, w.origin.n) == http_entry_wanted(w.origin));
        http_check_tight(&w);
        http_check_forwarded(r);
        s->current = conn;
        int strings = azc__request_strings(conn, r, 0);
        FUZZ_CHECK((strings == 0) == http_strings_wanted(&w));
        FUZZ_CHECK(s->strings_at <= s->scratch + azc__scratch_strings(&s->config));
        FUZZ_CHECK(strcmp(azc_peer(conn), "127.0.0.1") == 0);
        FUZZ_CHECK(http_exactly(w.target, azc_target(conn)));
        FUZZ_CHECK(http_exactly(w.method, azc_method(conn)));
        if (strings == 0) http_check_query(conn, &w);
        http_check_fields(conn, &w);
        http_check_cookies(conn, &w);
    }
    http_check_answer(conn, &w, status);
    s->touched_first = s->touched_last = NULL;
    azc__conn_free(conn);
    free(head);
}

int FUZZ_TARGET(const uint8_t *data, size_t size) {
    static const size_t limits[] = {HTTP_MOST, 8, 16, 40, 80, 150, 300, 500};
    fuzz_input in = {data, data + size};
    if (http_server == NULL) http_server = http_serve();
    size_t max = limits[fuzz_byte(&in) & 7];
    fuzz_cuts cuts = fuzz_cuts_from(fuzz_byte(&in));
    fuzz_byte(&in);
    size_t n = fuzz_left(&in);
    uint8_t *p = (uint8_t *)fuzz_copy(in.p, n, 0);

    azc__scan whole, cut;
    memset(&whole, 0, sizeof whole);
    memset(&cut, 0, sizeof cut);
    int k = azc__http_scan(&whole, p, n, max), at = 0, found = 0;
    FUZZ_CHECK(k == http_scan_wanted(p, n, max));
    while ((size_t)at < n && found == 0) {
        size_t piece = fuzz_cut(&cuts, n - (size_t)at);
        found = azc__http_scan(&cut, p + at, piece, max);
        if (found <= 0) at += (int)piece;
    }
    FUZZ_CHECK(k > 0 ? found > 0 && at + found == k : found == k);
    if (k > 0) http_check_parse(p, (size_t)k);
    free(p);
    return 0;
}
