// SPDX-License-Identifier: BSD-3-Clause
#include <base/text.h>

#include <stdio.h>

const char *
text_escape(char *buf, size_t cap, struct bytes b)
{
    size_t n = 0;
    for (size_t i = 0; i < b.len; i++) {
        if (cap - n < 8) { // the longest escape, the dots and the terminator
            memcpy(buf + n, "...", 4);
            return buf;
        }
        uint8_t c = b.p[i];
        if (c == '\\') {
            buf[n++] = '\\';
            buf[n++] = '\\';
        } else if (c >= 0x20 && c < 0x7f) {
            buf[n++] = (char)c;
        } else {
            n += (size_t)snprintf(buf + n, 5, "\\x%02x", c);
        }
    }
    buf[n] = '\0';
    return buf;
}
