// SPDX-License-Identifier: BSD-3-Clause
// Input: one byte, how to cut in its low six bits and whether there is TLS in the others; then what
// a client sends.
#include "drive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct bytes in = bytes_of(data + 1, size - 1);
    enum client_tls tls = (enum client_tls)((data[0] >> 6) % 3);
    struct cut at_once = {SIZE_MAX, 1};
    struct cut pieces = {1 + (size_t)(data[0] & 63), 1 + (size_t)(data[0] & 7)};
    struct transcript a = {0}, b = {0};
    drive_client(tls, in, at_once, &a);
    drive_client(tls, in, pieces, &b);
    CHECK(transcript_equal(&a, &b));
    transcript_free(&a);
    transcript_free(&b);
    return 0;
}
