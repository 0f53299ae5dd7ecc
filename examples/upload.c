/* upload.c: files up to a limit, processed in pieces as they arrive, never whole in memory. The
   server and the page both hash each file and compare.

       cc -O2 -I. examples/upload.c -o upload && ./upload [[host:]port]

   Then open http://127.0.0.1:4000/. This server only hashes the bytes; store them where it calls
   sha256_add. The page is pages/upload.html, which `make pages` turns into upload_page.h. */
#define AZCHAN_IMPLEMENTATION
#include "azchan.h"
#include "upload_page.h"
#include <stdio.h>
#include <string.h>

#define MAX_BYTES ((uint64_t)256 << 20) /* of one file */

/* ==== SHA-256: FIPS 180-4 ===================================================================== */

typedef struct sha256 {
    uint32_t h[8];
    uint64_t len;
    unsigned char block[64];
} sha256;

static uint32_t sha256_rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_begin(sha256 *s) {
    static const uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(s->h, h, sizeof h);
    s->len = 0;
}

static void sha256_schedule(uint32_t *w, const unsigned char *p) {
    for (int i = 0; i < 16; i++, p += 4) {
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (sha256_rotate(a, 7) ^ sha256_rotate(a, 18) ^ a >> 3) +
               (sha256_rotate(b, 17) ^ sha256_rotate(b, 19) ^ b >> 10);
    }
}

static void sha256_mix(sha256 *s, const unsigned char *block) {
    static const uint32_t k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2};
    uint32_t w[64], v[8];
    sha256_schedule(w, block);
    memcpy(v, s->h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t a = v[0], e = v[4];
        uint32_t t1 = v[7] + k[i] + w[i] + ((e & v[5]) ^ (~e & v[6])) +
                      (sha256_rotate(e, 6) ^ sha256_rotate(e, 11) ^ sha256_rotate(e, 25));
        uint32_t t2 = (sha256_rotate(a, 2) ^ sha256_rotate(a, 13) ^ sha256_rotate(a, 22)) +
                      ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) s->h[i] += v[i];
}

static void sha256_add(sha256 *s, const void *data, size_t len) {
    const unsigned char *p = data;
    while (len > 0) {
        size_t at = s->len % 64, n = len < 64 - at ? len : 64 - at;
        memcpy(s->block + at, p, n);
        s->len += n;
        p += n;
        len -= n;
        if (at + n == 64) sha256_mix(s, s->block);
    }
}

/* The hash of all bytes so far. It works on a copy, so more may be added. */
static void sha256_hex(sha256 s, char hex[65]) {
    unsigned char end[72] = {0x80};
    uint64_t bits = s.len * 8;
    size_t n = 120 - s.len % 64; /* pad to 8 bytes before the end of a block */
    if (n > 64) n -= 64;
    for (int i = 0; i < 8; i++) end[n + (size_t)i] = (unsigned char)(bits >> (56 - 8 * i));
    sha256_add(&s, end, n + 8);
    for (size_t i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08lx", (unsigned long)s.h[i]);
}

/* ==== The channel ============================================================================= */

typedef struct upload {
    char request[128]; /* the text message that is arriving */
    size_t request_len;
    int64_t ref;       /* the page's number for this file */
    uint64_t size, got;
    sha256 sum;
} upload;

/* Send how many bytes have arrived, and the hash of a complete file. */
static int send_progress(azc_conn *conn) {
    upload *u = azc_data(conn);
    char buf[256], hex[65];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_int(&w, "ref", u->ref);
    azc_put_uint(&w, "got", u->got);
    if (u->got == u->size) {
        sha256_hex(u->sum, hex);
        azc_put_string(&w, "sha256", hex);
    }
    return azc_send_json(conn, &w);
}

/* Refuse a file before its first byte. The page continues with the next file. */
static int refuse(azc_conn *conn, int64_t ref) {
    char buf[128];
    azc_writer w = azc_put_begin(buf, sizeof buf);
    azc_put_int(&w, "ref", ref);
    azc_put_string(&w, "error", "Too large");
    azc_put_uint(&w, "most", MAX_BYTES);
    return azc_send_json(conn, &w);
}

/* {"ref":1,"size":1048576} announces a file. An unfinished file before it is given up. */
static int request_done(azc_conn *conn) {
    upload *u = azc_data(conn);
    azc_json in;
    int error = azc_json_read(&in, u->request, u->request_len);
    u->size = u->got = 0;
    if (error == AZC_OK) error = azc_json_int(azc_json_get(in, "ref"), &u->ref);
    if (error == AZC_OK) error = azc_json_uint(azc_json_get(in, "size"), &u->size);
    if (error != AZC_OK) return error;
    if (u->size > MAX_BYTES) {
        u->size = 0;
        return refuse(conn, u->ref);
    }
    sha256_begin(&u->sum);
    return send_progress(conn); /* 0 bytes: the page may start */
}

static int request_part(azc_conn *conn, const void *data, size_t len, int flags) {
    upload *u = azc_data(conn);
    if (flags & AZC_PART_FIRST) u->request_len = 0;
    if (len > sizeof u->request - u->request_len) {
        return azc_close(conn, 1009, "a request is at most 128 bytes");
    }
    if (len > 0) memcpy(u->request + u->request_len, data, len);
    u->request_len += len;
    return flags & AZC_PART_LAST ? request_done(conn) : AZC_OK;
}

/* on_part: data is in the server's read buffer, so nothing is copied. */
static int upload_part(azc_conn *conn, const void *data, size_t len, int flags) {
    upload *u = azc_data(conn);
    if (flags & AZC_PART_TEXT) return request_part(conn, data, len, flags);
    if (len > u->size - u->got) return azc_close(conn, 1009, "more than was announced");
    sha256_add(&u->sum, data, len);
    u->got += len;
    return flags & AZC_PART_LAST ? send_progress(conn) : AZC_OK;
}

/* ==== The program ============================================================================= */

int main(int argc, char **argv) {
    azc_config config = {0};
    config.port = 4000;
    config.host = argc > 1 ? argv[1] : NULL;

    azc_server *server = azc_create(&config);
    azc_log_to(server, stderr, AZC_LOG_WARNING);
    azc_stop_on_signals(server);

    azc_channel_desc upload_desc = {0};
    upload_desc.path = "/upload";
    upload_desc.data_size = sizeof(upload);
    azc_on_part(azc_add_channel(server, &upload_desc), upload_part);

    azc_add_page(server, "/", "text/html; charset=utf-8", upload_page, sizeof upload_page);
    azc_add_client(server, "/azchan.js");
    if (azc_listen(server) == AZC_OK) puts(azc_url(server, "http", "/"));
    fflush(stdout);
    int error = azc_run(server);
    azc_destroy(server);
    return error != AZC_OK;
}
