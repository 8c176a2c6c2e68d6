// SPDX-License-Identifier: BSD-3-Clause
// What a model peer says to the proxy and hears from it: in plaintext, until TLS begins. Whatever
// the proxy says behind that must be TLS.
#ifndef SIM_LINE_H
#define SIM_LINE_H

#include "queue.h"
#include "sim_tls.h"
#include "sock.h"

struct line {
    struct queue in, out; // plaintext: heard and not understood yet; to be said
    struct sim_tls tls;
    bool secure; // it has begun
};

void line_start_tls(struct line *l, bool connects, enum tls_trouble trouble);
void line_hear(struct line *l, const uint8_t *p, size_t n);
// What came together with the words that began TLS, and is in `in`, was not plaintext.
void line_hear_again(struct line *l);
// Is there anything that can be sent now?
bool line_can_send(const struct line *l);
// One send, of at most so many bytes; returns how many. 0: it has failed, and all is dropped.
size_t line_send(struct line *l, struct sock *s, uint64_t most);
void line_drop(struct line *l); // what is still to be said
void line_clear(struct line *l);

#endif
