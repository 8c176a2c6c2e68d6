// SPDX-License-Identifier: BSD-3-Clause
// Input: how to cut, one byte; how many questions, one byte, whose fifth bit demands TLS; the
// questions (see drive_upstream.c); then what an upstream sends.
#include "drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size < 2 + (size_t)(data[1] & 15))
        return 0;
    size_t questions = data[1] & 15;
    bool tls = data[1] & 16;
    struct bytes script = bytes_of(data + 2, questions);
    struct bytes in = bytes_of(data + 2 + questions, size - 2 - questions);
    struct cut at_once = {SIZE_MAX, 1};
    struct cut pieces = {1 + (size_t)data[0], 1 + (size_t)(data[0] & 7)};
    struct transcript a = {0}, b = {0};
    drive_upstream(tls, script, in, at_once, &a);
    drive_upstream(tls, script, in, pieces, &b);
    CHECK(transcript_equal(&a, &b));
    transcript_free(&a);
    transcript_free(&b);
    return 0;
}
