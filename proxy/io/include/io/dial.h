// SPDX-License-Identifier: BSD-3-Clause
// Connecting to an address from a ring's thread without ever blocking it: names are resolved by a
// helper thread of the process, every address of a name is tried in turn.
#ifndef IO_DIAL_H
#define IO_DIAL_H

#include <io/address.h>
#include <io/ring.h>

struct dial;

// Called once, on the ring's thread: fd is connected (the callee's from now on), or -1 and `err` is
// one line with what was tried and why it failed ("connect to 10.0.0.5:10809: Connection refused").
typedef void dial_done(void *ctx, int fd, const char *err);

// Gives up at `deadline` (ring time) with "timed out". NULL: out of memory, nothing will be called.
struct dial *dial_start(struct ring *r, const struct address *to, nstime deadline, dial_done *done,
                        void *ctx);
// No call comes after this.
void dial_cancel(struct dial *d);

// The resolver thread: once a process, before the first dial and after the last.
bool resolver_start(void);
void resolver_stop(void);

#endif
