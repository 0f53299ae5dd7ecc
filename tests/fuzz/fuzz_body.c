/* Bodies of requests. Input: a kind, a seed for the cuts, then the bytes: of a chunked body (kind
 * even), against a parser that descends through the grammar of RFC 9112 7.1; or of a form, decoded
 * where it lies, against the same decoder with room of its own. */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include "fuzz.h"

int FUZZ_TARGET(const uint8_t *data, size_t size);

/* ---- The grammar ----------------------------------------------------------------------------- */

enum { BODY_MORE, BODY_GOOD, BODY_BAD };

typedef struct body_reader {
    const uint8_t *p, *end;
    size_t line; /* bytes that count against the limit of a line, or of the trailers */
} body_reader;

/* The next byte of a line, or -1 at the end of the input, or -2 past the limit. */
static int body_next(body_reader *in) {
    if (in->p == in->end) return -1;
    return in->line++ < AZC__CHUNK_LINES ? *in->p++ : -2;
}
static int body_wrong(int c) { return c == -1 ? BODY_MORE : BODY_BAD; }

/* Text up to CR LF; the first byte of it is c. */
static int body_rest_of_line(body_reader *in, int c) {
    while (c == '\t' || (c >= 32 && c != 127)) c = body_next(in);
    if (c != '\r') return body_wrong(c);
    c = body_next(in);
    return c == '\n' ? BODY_GOOD : body_wrong(c);
}

static int body_size_line(body_reader *in, uint64_t *size) {
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    int c = body_next(in), count = 0;
    *size = 0;
    for (; c > 0 && strchr(digits, c) != NULL; c = body_next(in), count++) {
        if (*size > UINT64_MAX / 32) return BODY_BAD;
        *size = *size * 16 + (size_t)(strchr(digits, c) - digits) % 16;
    }
    if (count == 0) return body_wrong(c);
    return c == ';' || c == '\r' ? body_rest_of_line(in, c) : body_wrong(c);
}

static int body_trailers(body_reader *in) {
    in->line = 0;
    for (;;) {
        int c = body_next(in), name = 0;
        if (c == '\r') return body_rest_of_line(in, c);
        for (; c > 0 && azc__char_in(AZC__TOKEN, (char)c); c = body_next(in)) name = 1;
        if (!name || c != ':') return body_wrong(c);
        int result = body_rest_of_line(in, ' ');
        if (result != BODY_GOOD) return result;
    }
}

/* Read a whole body; its data go to out. */
static int body_read(body_reader *in, uint8_t *out, size_t *len) {
    for (*len = 0;;) {
        uint64_t size;
        in->line = 0;
        int result = body_size_line(in, &size);
        if (result != BODY_GOOD) return result;
        if (size == 0) return body_trailers(in);
        size_t n = (size_t)(in->end - in->p);
        if (n > size) n = (size_t)size;
        memcpy(out + *len, in->p, n);
        *len += n, in->p += n;
        if (n < size) return BODY_MORE;
        in->line = 0;
        int c = body_next(in);
        if (c != '\r') return body_wrong(c);
        if ((c = body_next(in)) != '\n') return body_wrong(c);
    }
}

static void body_chunked(const uint8_t *p, size_t n, fuzz_cuts *cuts) {
    uint8_t *want = (uint8_t *)fuzz_copy(NULL, 0, n + 1);
    uint8_t *got = (uint8_t *)fuzz_copy(NULL, 0, n + 1);
    body_reader in = {p, p + n, 0};
    size_t want_len = 0, got_len = 0, at = 0;
    int wanted = body_read(&in, want, &want_len), used = 0;
    azc__framing framing;
    memset(&framing, 0, sizeof framing);
    framing.state = AZC__CHUNK_SIZE;
    while (at < n && framing.state != AZC__BODY_DONE && used >= 0) {
        size_t len, piece = fuzz_cut(cuts, n - at);
        uint8_t *copy = (uint8_t *)fuzz_copy(p + at, piece, 0);
        used = azc__body_decode(&framing, copy, piece, &len);
        if (used >= 0) {
            FUZZ_CHECK((size_t)used <= piece && len <= (size_t)used);
            FUZZ_CHECK((size_t)used == piece || framing.state == AZC__BODY_DONE);
            memcpy(got + got_len, copy, len);
            got_len += len, at += (size_t)used;
        }
        free(copy);
    }
    FUZZ_CHECK((used < 0) == (wanted == BODY_BAD));
    if (used >= 0) {
        FUZZ_CHECK((framing.state == AZC__BODY_DONE) == (wanted == BODY_GOOD));
        FUZZ_CHECK(at == (size_t)(in.p - p));
        FUZZ_CHECK(got_len == want_len && memcmp(got, want, want_len) == 0);
    }
    free(want), free(got);
}

/* ---- Forms ----------------------------------------------------------------------------------- */

static void body_form(const uint8_t *p, size_t n) {
    static char name[] = "Content-Type", type[] = "application/x-www-form-urlencoded";
    azc__body *body = (azc__body *)calloc(1, sizeof *body);
    char *text = (char *)fuzz_copy(p, n, 1), *want = (char *)fuzz_copy(NULL, 0, 2 * n + 3);
    char *out = want;
    int fields = 1;
    if (body == NULL) abort();
    text[n] = 0;
    for (size_t i = 0; i < n; i++) fields += text[i] == '&';
    int good = strlen(text) == n && fields <= AZC__MAX_FIELDS &&
               azc__http_pairs(&out, text, 0) == 0;
    *out++ = 0;
    body->request.field_count = 1;
    body->request.fields[0].name = name, body->request.fields[0].value = type;
    body->data = (unsigned char *)fuzz_copy(p, n, AZC__FORM);
    body->len = n, body->cap = n + AZC__FORM;
    const char *why = azc__form_decode(body);
    if (n > 0) {
        FUZZ_CHECK((why == NULL) == good);
        if (good) FUZZ_CHECK(memcmp(body->form, want, (size_t)(out - want)) == 0);
        if (!good && body->form != NULL) FUZZ_CHECK(*body->form == 0);
    }
    free(body->data), free(body), free(text), free(want);
}

int FUZZ_TARGET(const uint8_t *data, size_t size) {
    fuzz_input in = {data, data + size};
    unsigned kind = fuzz_byte(&in);
    fuzz_cuts cuts = fuzz_cuts_from(fuzz_byte(&in));
    if (kind % 2 == 0) body_chunked(in.p, fuzz_left(&in), &cuts);
    else body_form(in.p, fuzz_left(&in));
    return 0;
}
