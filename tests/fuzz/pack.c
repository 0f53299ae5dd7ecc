/* A corpus in one file, so that the repository is not littered: per input two bytes of length (the
 * low one first), then its bytes.
 *
 *     pack FILE DIRECTORY      from the files of a directory, in the order of their names
 *     pack -x FILE DIRECTORY   into files, named by their number */
#define _DEFAULT_SOURCE 1
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char bytes[65536];

static int fail(const char *what) {
    perror(what);
    return 1;
}

static int not_hidden(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static int pack(const char *name, const char *directory) {
    struct dirent **entries;
    int n = scandir(directory, &entries, not_hidden, alphasort);
    FILE *out = n < 0 ? NULL : fopen(name, "wb");
    if (out == NULL) return fail(n < 0 ? directory : name);
    for (int i = 0; i < n; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, entries[i]->d_name);
        FILE *in = fopen(path, "rb");
        if (in == NULL) return fail(path);
        size_t len = fread(bytes, 1, sizeof bytes - 1, in);
        fclose(in);
        fputc((int)(len & 255), out);
        fputc((int)(len >> 8), out);
        fwrite(bytes, 1, len, out);
        free(entries[i]);
    }
    free(entries);
    return fclose(out) == 0 ? 0 : fail(name);
}

static int unpack(const char *name, const char *directory) {
    FILE *in = fopen(name, "rb");
    if (in == NULL) return fail(name);
    for (int i = 0, low; (low = fgetc(in)) != EOF; i++) {
        char path[4096];
        size_t len = (size_t)low | (size_t)fgetc(in) << 8;
        snprintf(path, sizeof path, "%s/packed-%04d", directory, i);
        FILE *out = fopen(path, "wb");
        if (len >= sizeof bytes || fread(bytes, 1, len, in) != len || out == NULL ||
            fwrite(bytes, 1, len, out) != len || fclose(out) != 0) return fail(path);
    }
    fclose(in);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3) return pack(argv[1], argv[2]);
    if (argc == 4 && strcmp(argv[1], "-x") == 0) return unpack(argv[2], argv[3]);
    fprintf(stderr, "usage: pack [-x] FILE DIRECTORY\n");
    return 2;
}
