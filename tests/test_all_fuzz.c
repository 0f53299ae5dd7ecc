/* Replays the inputs of the fuzz targets (tests/fuzz): the seeds, written by hand, and the corpus,
 * found by fuzzing. Needs only cc. */
#define FUZZ_TARGET fuzz_conn /* first: it brings its own system calls */
#include "fuzz/fuzz_conn.c"
#undef FUZZ_TARGET
#define FUZZ_TARGET fuzz_http
#include "fuzz/fuzz_http.c"
#undef FUZZ_TARGET
#define FUZZ_TARGET fuzz_json
#include "fuzz/fuzz_json.c"
#undef FUZZ_TARGET
#define FUZZ_TARGET fuzz_writer
#include "fuzz/fuzz_writer.c"
#undef FUZZ_TARGET
#define FUZZ_TARGET fuzz_route
#include "fuzz/fuzz_route.c"
#undef FUZZ_TARGET
#define FUZZ_TARGET fuzz_utf8
#include "fuzz/fuzz_utf8.c"
#undef FUZZ_TARGET
#define FUZZ_TARGET fuzz_body
#include "fuzz/fuzz_body.c"
#undef FUZZ_TARGET
#define FUZZ_TARGET fuzz_files
#include "fuzz/fuzz_files.c"
#undef FUZZ_TARGET
#include "test.h"
#include <dirent.h>

static uint8_t bytes[65536];

/* tests/fuzz, from this file's own name. */
static const char *place(const char *sort, const char *target, const char *name) {
    static char path[1024];
    const char *slash = strrchr(__FILE__, '/');
    snprintf(path, sizeof path, "%.*sfuzz/%s/%s%s", slash ? (int)(slash + 1 - __FILE__) : 0,
             __FILE__, sort, target, name);
    return path;
}

static void run(int (*property)(const uint8_t *, size_t), size_t len, const char *what) {
    uint8_t *exact = (uint8_t *)guarded(bytes, len);
    fuzz_case = what;
    CHECK_INT(property(exact, len), 0); /* or it aborts */
    fuzz_case = "";
    guarded_free(exact, len);
}

static void seeds(const char *target, int (*property)(const uint8_t *, size_t)) {
    char directory[1024], name[2048];
    snprintf(directory, sizeof directory, "%s", place("seeds", target, ""));
    DIR *dir = opendir(directory);
    int count = 0;
    if (!CHECK(dir != NULL)) return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/%s", directory, entry->d_name);
        FILE *file = fopen(name, "rb");
        if (!CHECK(file != NULL)) continue;
        size_t len = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        run(property, len, name);
        count++;
    }
    closedir(dir);
    CHECK(count > 0);
}

/* See fuzz/pack.c. */
static void corpus(const char *target, int (*property)(const uint8_t *, size_t)) {
    char name[1100];
    FILE *file = fopen(place("corpus", target, ".pack"), "rb");
    int count = 0;
    if (!CHECK(file != NULL)) return;
    for (int low; (low = fgetc(file)) != EOF; count++) {
        size_t len = (size_t)low | (size_t)fgetc(file) << 8;
        if (!CHECK(len <= sizeof bytes && fread(bytes, 1, len, file) == len)) break;
        snprintf(name, sizeof name, "%s, number %d", place("corpus", target, ".pack"), count);
        run(property, len, name);
    }
    fclose(file);
    CHECK(count > 0);
}

static void both(const char *target, int (*property)(const uint8_t *, size_t)) {
    char sentence[100];
    snprintf(sentence, sizeof sentence, "%s: the seeds keep the property", target);
    TEST(sentence) seeds(target, property);
    snprintf(sentence, sizeof sentence, "%s: the corpus keeps the property", target);
    TEST(sentence) corpus(target, property);
}

int main(int argc, char **argv) {
    test_start(argc, argv);
    both("http", fuzz_http);
    both("conn", fuzz_conn);
    both("json", fuzz_json);
    both("writer", fuzz_writer);
    both("route", fuzz_route);
    both("utf8", fuzz_utf8);
    both("body", fuzz_body);
    both("files", fuzz_files);
    return test_end();
}
