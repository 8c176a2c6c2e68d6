// SPDX-License-Identifier: BSD-3-Clause
// metrics-listen: the snapshot over HTTP, for Prometheus. libmicrohttpd serves it on a thread of
// its own, which asks this process's main thread for a page; workers never hear of it. What one
// scraper does wrong, slowly or too often is bounded there, and I/O does not notice.
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "collector.h"
#include "inherited.h"

#include <io/address.h>

struct metrics;

// The main thread's; nothing is served yet. Ends the process if there is no memory.
struct metrics *metrics_new(struct ring *ring, struct collector *collector);
// Opens the socket that metrics_serve() will serve at; NULL: nowhere. False, with one line in err;
// what is served goes on until then.
bool metrics_listen(struct metrics *m, const struct address *at, char *err, size_t errlen);
// Takes that back.
void metrics_cancel(struct metrics *m);
// Serves there from now on, and nowhere else. False: the HTTP server's thread cannot be started.
bool metrics_serve(struct metrics *m);
// What a successor gets, and leaving the socket to it.
void metrics_hand(const struct metrics *m, struct handed *to);
void metrics_leave(struct metrics *m);
// Ends serving. The thread has ended when this returns.
void metrics_close(struct metrics *m);
// After the ring has stopped: nothing may come back to it.
void metrics_free(struct metrics *m);

#endif
