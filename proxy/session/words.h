// SPDX-License-Identifier: BSD-3-Clause
// What broke a stream, for people.
#ifndef SESSION_WORDS_H
#define SESSION_WORDS_H

#include <io/stream.h>
#include <io/tls.h>
#include <stdio.h>
#include <string.h>

#define STREAM_WORDS (TLS_TEXT + 8)

// Returns buf.
static inline const char *
stream_words(const struct stream *s, char buf[STREAM_WORDS])
{
    const char *tls = stream_tls_error(s);
    snprintf(buf, STREAM_WORDS, "%s%s", tls ? "TLS: " : "", tls ? tls : strerror(-stream_error(s)));
    return buf;
}

#endif
