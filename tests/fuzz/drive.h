// SPDX-License-Identifier: BSD-3-Clause
// Runs a handshake machine over some input, cut into pieces, with a caller that answers or asks by
// fixed rules, and writes down all that happened. However the input is cut, the transcript is the
// same: that is what the fuzz targets and the unit tests look for.
#ifndef FUZZ_DRIVE_H
#define FUZZ_DRIVE_H

#include <base/bytes.h>
#include <stdlib.h>
#include <wire/client_handshake.h>

// Aborts, in every build.
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_failed(#condition, __FILE__, __LINE__);                                          \
    } while (0)
void check_failed(const char *condition, const char *file, int line) __attribute__((noreturn));

struct transcript {
    uint8_t *p;
    size_t len, cap;
};

void transcript_bytes(struct transcript *t, struct bytes b); // with its length
void transcript_number(struct transcript *t, uint64_t n);
bool transcript_equal(const struct transcript *a, const struct transcript *b);
void transcript_free(struct transcript *t);

// The size of the first piece of the input, and of all others. {SIZE_MAX, 1} is all at once.
struct cut {
    size_t first, then;
};

// A piece of the input in memory of exactly its size, so that ASan sees whoever reads past it.
struct piece {
    uint8_t *p;
    size_t len;
};
struct piece piece_next(struct bytes in, size_t at, struct cut cut);

// What comes behind STARTTLS, once granted, is what the peer says inside TLS; on either side.
void drive_client(enum client_tls tls, struct bytes in, struct cut cut, struct transcript *t);

// `script`: one byte a question; see drive_upstream.c.
void drive_upstream(bool tls, struct bytes script, struct bytes in, struct cut cut,
                    struct transcript *t);

#endif
