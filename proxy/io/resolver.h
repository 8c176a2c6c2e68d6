// SPDX-License-Identifier: BSD-3-Clause
// Names to addresses, off the rings' threads.
#ifndef IO_RESOLVER_H
#define IO_RESOLVER_H

#include <io/ring.h>
#include <netdb.h>

// One question. Allocated by the asker; the resolver's from resolve() on until `answered` is called
// on the ring's thread, which frees it with question_free(). An asker that has lost interest sets
// ctx to NULL, on the ring's thread, and leaves the rest to `answered`.
struct question {
    struct letter letter; // first: what is posted is the question
    struct question *next;
    struct ring *ring; // NULL: it has gone
    char host[256], port[8];
    int error;        // of getaddrinfo(), 0: found
    int system_error; // errno, where that is EAI_SYSTEM
    struct addrinfo *found;
    void *ctx;
};

// False: the resolver has not been started; nothing will be called, the question is the caller's.
bool resolve(struct ring *r, struct question *q, void (*answered)(struct letter *l));
void question_free(struct question *q);

#endif
