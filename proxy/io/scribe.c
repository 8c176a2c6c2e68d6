// SPDX-License-Identifier: BSD-3-Clause
// Memory to send from that nobody has to own: copies of small things, and zeroes.
#include "ring_inside.h"

#include <string.h>
#include <sys/mman.h>

uint8_t *
scribe_copy(struct ring *r, const void *p, size_t n, struct buf **b)
{
    if (n > SCRIBE_SIZE)
        return NULL;
    if (r->scribe && r->scribe->refs == 1)
        r->scribe_len = 0; // all that was in it has been sent
    if (r->scribe && SCRIBE_SIZE - r->scribe_len < n) {
        buf_unref(r->scribe);
        r->scribe = NULL;
    }
    if (!r->scribe) {
        r->scribe = buf_new(r, SCRIBE_SIZE);
        r->scribe_len = 0;
    }
    if (!r->scribe)
        return NULL;
    uint8_t *to = r->scribe->data + r->scribe_len;
    memcpy(to, p, n);
    r->scribe_len += (uint32_t)n;
    *b = r->scribe;
    return to;
}

// Never written, so every page of it is the system's one page of zeroes.
const uint8_t *
zeroes_open(void)
{
    void *p = mmap(NULL, ZEROES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

void
zeroes_close(const uint8_t *p)
{
    munmap((void *)(uintptr_t)p, ZEROES);
}
