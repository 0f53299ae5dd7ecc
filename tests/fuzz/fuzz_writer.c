/* The JSON writer against a model of its manual: any sequence of puts into buffers of any size.
 * Input: the buffer's size (two bytes), then puts: a byte that selects the put and its name, and
 * what belongs to it. */
#define AZCHAN_IMPLEMENTATION
#include "../../azchan.h"
#include "fuzz.h"

int FUZZ_TARGET(const uint8_t *data, size_t size);

enum { WRITER_MOST = 600, WRITER_ROOM = 1 << 17, WRITER_GUARD = 8 };

/* ---- The model: what the puts so far should give, were the buffer endless -------------------- */

typedef struct writer_model {
    char text[WRITER_ROOM];
    size_t len;
    char open[66];     /* '{' or '[' of each open container */
    int depth, filled; /* filled: the innermost one, or the document, has something in it */
    int implicit, error;
} writer_model;

static writer_model writer_wanted;

static void writer_say(const char *bytes, size_t n) {
    if (writer_wanted.len + n > WRITER_ROOM) abort(); /* inputs are shorter than that */
    memcpy(writer_wanted.text + writer_wanted.len, bytes, n);
    writer_wanted.len += n;
}

static void writer_say_string(const char *s, size_t n) {
    writer_say("\"", 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        char out[8] = {(char)c, 0};
        switch (c) {
        case '"': strcpy(out, "\\\""); break;
        case '\\': strcpy(out, "\\\\"); break;
        case '\b': strcpy(out, "\\b"); break;
        case '\f': strcpy(out, "\\f"); break;
        case '\n': strcpy(out, "\\n"); break;
        case '\r': strcpy(out, "\\r"); break;
        case '\t': strcpy(out, "\\t"); break;
        default: if (c < 32) snprintf(out, sizeof out, "\\u%04x", c);
        }
        writer_say(out, c == 0 ? 6 : strlen(out));
    }
    writer_say("\"", 1);
}

/* What comes before a value. Returns whether the value may follow. */
static int writer_begin(const char *name) {
    writer_model *m = &writer_wanted;
    if (m->error) return 0;
    if (m->depth == 0 && !m->filled && name != NULL) {
        m->implicit = 1;
        m->open[m->depth++] = '{';
        writer_say("{", 1);
    }
    int named = m->depth > 0 && m->open[m->depth - 1] == '{';
    if (named != (name != NULL) || (m->depth == 0 && m->filled)) {
        m->error = AZC_ERR_STATE;
        return 0;
    }
    if (m->filled) writer_say(",", 1);
    if (name != NULL && fuzz_text(name, strlen(name), NULL) != 1) {
        m->error = AZC_ERR_UTF8;
        return 0;
    }
    if (name != NULL) writer_say_string(name, strlen(name));
    if (name != NULL) writer_say(":", 1);
    m->filled = 1;
    return 1;
}

static void writer_open(const char *name, char kind) {
    if (!writer_begin(name)) return;
    if (writer_wanted.depth == 64) {
        writer_wanted.error = AZC_ERR_RANGE;
        return;
    }
    writer_say(&kind, 1);
    writer_wanted.open[writer_wanted.depth++] = kind;
    writer_wanted.filled = 0;
}

static void writer_close(void) {
    if (writer_wanted.error) return;
    if (writer_wanted.depth <= writer_wanted.implicit) {
        writer_wanted.error = AZC_ERR_STATE;
        return;
    }
    writer_say(writer_wanted.open[--writer_wanted.depth] == '[' ? "]" : "}", 1);
    writer_wanted.filled = 1;
}

static void writer_finish(void) {
    writer_model *m = &writer_wanted;
    if (m->error == 0 && m->implicit && m->depth == 1) {
        writer_say("}", 1);
        m->depth = 0;
    }
    if (m->error == 0 && (m->depth > 0 || !m->filled)) m->error = AZC_ERR_STATE;
}

/* ---- Puts, to the model and to a writer at once ---------------------------------------------- */

/* Up to 15 bytes of the input as a C string. */
static const char *writer_name(fuzz_input *in, char out[16]) {
    size_t n = fuzz_byte(in) & 15;
    const uint8_t *p = fuzz_take(in, &n);
    memcpy(out, p, n);
    out[n] = 0;
    return out;
}

static uint64_t writer_number(fuzz_input *in) {
    size_t n = 8;
    uint64_t value = 0;
    const uint8_t *p = fuzz_take(in, &n);
    memcpy(&value, p, n);
    return value;
}

/* Brackets in brackets, deeper than the input could. */
static azc_json writer_nest(int depth) {
    static char text[128];
    azc_json value;
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    FUZZ_CHECK(azc_json_read(&value, text, 2 * (size_t)depth) == AZC_OK);
    return value;
}

static int writer_depth(azc_json value) {
    int deepest = 0;
    for (azc_json_iter i = azc_json_each(value); azc_json_next(&i);) {
        int depth = writer_depth(i.value);
        if (depth > deepest) deepest = depth;
    }
    return value.type == AZC_JSON_ARRAY || value.type == AZC_JSON_OBJECT ? deepest + 1 : 0;
}

static void writer_put_json(azc_writer *w, const char *name, azc_json value) {
    azc_put_json(w, name, value);
    if (!writer_begin(name)) return;
    if (writer_wanted.depth + writer_depth(value) > 64) writer_wanted.error = AZC_ERR_RANGE;
    else if (value.type == AZC_JSON_NONE) writer_say("null", 4);
    else writer_say(value.text, value.len);
}

/* With the fewest digits, from 15 on, that read back equal. */
static void writer_put_double(azc_writer *w, const char *name, double value) {
    char text[64] = "";
    azc_put_double(w, name, value);
    if (!(value - value <= 0)) { /* an infinity, or not a number */
        if (!writer_wanted.error) writer_wanted.error = AZC_ERR_RANGE;
    } else if (writer_begin(name)) {
        double back = -value;
        for (int digits = 15; value - back > 0 || value - back < 0 || digits == 15; digits++) {
            FUZZ_CHECK(digits <= 17);
            snprintf(text, sizeof text, "%.*g", digits, value);
            back = strtod(text, NULL);
        }
        writer_say(text, strlen(text));
    }
}

static void writer_put(azc_writer *w, fuzz_input *in) {
    char own[16], string[16], digits[24], *text;
    unsigned op = fuzz_byte(in);
    const char *name = op & 0x40 ? writer_name(in, own) : NULL;
    size_t n;
    uint64_t number;
    int64_t integer;
    double real;
    azc_json value;
    if (op & 0x80) { /* as the container wants it, so that long sequences are not all errors */
        int depth = writer_wanted.depth;
        name = depth > 0 && writer_wanted.open[depth - 1] == '{' ? "k" : NULL;
    }
    switch (op & 15) {
    case 0:
        writer_name(in, string);
        azc_put_string(w, name, string);
        if (!writer_begin(name)) break;
        if (fuzz_text(string, strlen(string), NULL) != 1) writer_wanted.error = AZC_ERR_UTF8;
        else writer_say_string(string, strlen(string));
        break;
    case 1:
        n = fuzz_byte(in);
        text = (char *)fuzz_copy(in->p, n < fuzz_left(in) ? n : fuzz_left(in), 0);
        fuzz_take(in, &n);
        azc_put_text(w, name, text, n);
        if (writer_begin(name)) {
            if (fuzz_text(text, n, NULL) != 1) writer_wanted.error = AZC_ERR_UTF8;
            else writer_say_string(text, n);
        }
        free(text);
        break;
    case 2:
        number = writer_number(in);
        memcpy(&integer, &number, sizeof integer);
        snprintf(digits, sizeof digits, "%lld", (long long)integer);
        azc_put_int(w, name, integer);
        if (writer_begin(name)) writer_say(digits, strlen(digits));
        break;
    case 3:
        number = writer_number(in);
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
        azc_put_uint(w, name, number);
        if (writer_begin(name)) writer_say(digits, strlen(digits));
        break;
    case 4:
        number = writer_number(in);
        memcpy(&real, &number, sizeof real);
        writer_put_double(w, name, real);
        break;
    case 5:
        n = fuzz_byte(in) & 1;
        azc_put_bool(w, name, (int)n);
        if (writer_begin(name)) n ? writer_say("true", 4) : writer_say("false", 5);
        break;
    case 6:
        azc_put_null(w, name);
        if (writer_begin(name)) writer_say("null", 4);
        break;
    case 7:
        n = fuzz_byte(in);
        text = (char *)fuzz_copy(in->p, n < fuzz_left(in) ? n : fuzz_left(in), 0);
        fuzz_take(in, &n);
        if (azc_json_read(&value, text, n) != AZC_OK) memset(&value, 0, sizeof value);
        writer_put_json(w, name, value);
        free(text);
        break;
    case 8: azc_put_object(w, name), writer_open(name, '{'); break;
    case 9: azc_put_array(w, name), writer_open(name, '['); break;
    case 10: azc_put_end(w), writer_close(); break;
    case 11:
        azc_put_string(w, name, NULL);
        if (writer_begin(name)) writer_say("null", 4);
        break;
    case 12:
        FUZZ_CHECK(azc_put_finish(w) == (w->text != NULL ? w->azc__failed : AZC_ERR_ARGUMENT));
        writer_finish();
        break;
    case 13: /* a whole stair of containers */
        for (n = fuzz_byte(in) % 67; n > 0; n--, name = op & 16 ? "k" : NULL) {
            if (op & 16) azc_put_object(w, name), writer_open(name, '{');
            else azc_put_array(w, name), writer_open(name, '[');
        }
        break;
    case 14:
        for (n = fuzz_byte(in) % 67; n > 0; n--) azc_put_end(w), writer_close();
        break;
    default: writer_put_json(w, name, writer_nest(1 + (int)fuzz_byte(in) % 64));
    }
}

/* All the puts into a buffer of this size, compared with the model. */
static void writer_run(fuzz_input in, size_t size, int with_buffer) {
    static char block[WRITER_ROOM + WRITER_GUARD];
    char *buf = block + WRITER_ROOM - size; /* so that its end is always the guard */
    memset(block + WRITER_ROOM, 0x55, WRITER_GUARD);
    azc_writer w = azc_put_begin(with_buffer ? buf : NULL, size);
    writer_wanted.len = 0, writer_wanted.depth = 0, writer_wanted.filled = 0;
    writer_wanted.implicit = 0, writer_wanted.error = 0;
    while (in.p < in.end) writer_put(&w, &in);
    int result = azc_put_finish(&w);
    writer_finish();
    for (int i = 0; i < WRITER_GUARD; i++) FUZZ_CHECK(block[WRITER_ROOM + i] == 0x55);
    if (!with_buffer) {
        FUZZ_CHECK(result == AZC_ERR_ARGUMENT);
        return;
    }
    int fits = writer_wanted.len < size;
    if (fits) FUZZ_CHECK(result == writer_wanted.error);
    else FUZZ_CHECK(result == AZC_ERR_FULL || (result != AZC_OK && result == writer_wanted.error));
    if (result != AZC_OK) FUZZ_CHECK(w.len == 0 && (size == 0 || buf[0] == 0));
    FUZZ_CHECK(azc_put_finish(&w) == result);
    if (result != AZC_OK) return;
    azc_json doc;
    FUZZ_CHECK(w.len == writer_wanted.len && memcmp(buf, writer_wanted.text, w.len) == 0);
    FUZZ_CHECK(buf[w.len] == 0 && w.text == buf);
    FUZZ_CHECK(azc_json_read(&doc, buf, w.len) == AZC_OK && doc.len == w.len);
}

int FUZZ_TARGET(const uint8_t *data, size_t size) {
    fuzz_input in = {data, data + (size > WRITER_MOST ? WRITER_MOST : size)};
    size_t room = fuzz_byte(&in);
    room = (room | (size_t)fuzz_byte(&in) << 8) % 700;
    writer_run(in, WRITER_ROOM, 1);
    size_t whole = writer_wanted.len;
    int good = writer_wanted.error == 0;
    writer_run(in, room, room != 699);
    if (!good) return 0;
    writer_run(in, whole + (room & 1), 1); /* all of it and its NUL fit, or just not */
    FUZZ_CHECK(writer_wanted.error == 0 && writer_wanted.len == whole);
    return 0;
}
