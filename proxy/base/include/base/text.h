// SPDX-License-Identifier: BSD-3-Clause
// Text for people, from bytes of strangers.
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/bytes.h"

// Writes at most cap bytes (terminator included) of `b` to `buf`, printable ASCII as it is,
// backslash doubled, all else as \xNN, and "..." where it was cut. Returns buf. cap must be at
// least 8.
const char *text_escape(char *buf, size_t cap, struct bytes b);

#endif
