// SPDX-License-Identifier: BSD-3-Clause
// The model upstream: an NBD server on the model disk whose every operation costs virtual time, and
// which may be made to fail, lie, stall or vanish. It checks all that the proxy sends.
#ifndef SIM_UPSTREAM_H
#define SIM_UPSTREAM_H

#include "disk.h"
#include "line.h"
#include "oracle.h"
#include "sock.h"
#include "world.h"

#include <base/bytes.h>
#include <wire/codec.h>

enum upstream_kind { KIND_FIXED, KIND_NEWSTYLE, KIND_OLDSTYLE };

struct cost {
    nstime fixed;
    double per_byte;
};

// What goes wrong, and when. Zero: nothing does.
struct fault {
    unsigned at;    // the number (from 1) of the first command that fails
    unsigned count; // how many
    uint32_t error;
    uint16_t only;       // a bit for each command that counts; 0: all
    unsigned connection; // the number of the one that counts; 0: all
    unsigned seen;
};

struct sim_upstream {
    struct disk *disk;
    struct oracle *oracle;
    uint64_t (*sent_by)(unsigned client);

    // What it is.
    enum upstream_kind kind;
    const char *name;                            // of its export, which is the default, too
    uint16_t flags;                              // transmission flags
    bool keeps_zeroes;                           // it does not offer NO_ZEROES
    bool no_go, no_structured, no_meta, no_list; // options it does not know
    bool extended, only_extended;                // EXTENDED_HEADERS it has; and demands
    bool info_says_zero;                         // as nbd-server's INFO does
    bool tls; // the proxy is to speak to it in TLS only, whether it can or not
    enum tls_trouble trouble;
    bool has_block_size;
    bool rigid; // requests that are not aligned get EINVAL, whatever was promised
    uint32_t minimum, preferred, maximum;
    struct cost cost[NBD_COMMANDS];
    unsigned jitter_percent;    // how often an operation takes up to twice as long
    bool serial;                // one operation after another
    uint64_t max_zero;          // a longer plain WRITE_ZEROES is a breach
    uint32_t zero_always;       // every WRITE_ZEROES fails so
    unsigned fast_zero_refused; // percent of its own FAST_ZERO answers that are ENOTSUP
    bool status_lies;           // everything reads as zero, it says
    struct fault fault;

    // Misfortunes of the connection that is the `doomed`th (from 1).
    unsigned doomed;
    uint64_t dies_sent, dies_received;
    unsigned dies_changing; // percent of its commands that change data that are its last
    enum death death;
    uint64_t cut_sent;                     // what it sends arrives cut there, once
    uint64_t stalls_sent, stalls_received; // says, hears nothing more behind so many bytes
    bool down;                             // connecting fails
    bool zombies; // what a broken connection had asked for is done up to half a second later
    enum grain grain;

    // What was seen.
    unsigned connections, live, secured;
    uint64_t commands[NBD_COMMANDS], fast_zeroes, sent_bytes, received_bytes;
    uint64_t most_in_flight, most_payload; // of one connection
    uint64_t begun[3];                     // connections in transmission, by format
    nstime busy_until;
    struct upstream_conn *conns;
};

#define PARTS_MAX 12

struct job {
    struct job *next;
    uint16_t type, flags;
    uint64_t cookie;
    struct range range;
    uint8_t *data; // of a WRITE, or what was read
    uint32_t error;
    bool early, executed; // takes effect when it begins
    nstime due;
    uint8_t *parts[PARTS_MAX]; // the reply, in messages
    size_t part_len[PARTS_MAX];
    unsigned n_parts, next_part;
};

enum conn_state { CONN_FLAGS, CONN_OPTIONS, CONN_TRANSMISSION, CONN_ENDING };

struct upstream_conn {
    struct actor actor;
    struct upstream_conn *next;
    struct sim_upstream *host;
    struct sock *sock;
    unsigned number; // from 1
    enum conn_state state;
    bool no_zeroes, doomed, asked;
    bool lingers; // broken, and what it had asked for is still to be done
    struct line line;
    bool refused; // STARTTLS, so that nothing may follow
    enum wire_format format;
    bool bound;          // was asked for its block sizes, and keeps to them
    unsigned n_contexts; // selected; ids are 7 and 8, base:allocation first
    bool allocation;
    uint64_t sent, said; // bytes that went out, and that were ever to go
    struct job *jobs;
    unsigned in_flight;
    uint64_t payload; // of READ and WRITE in flight
};

#define CONTEXT_ALLOCATION 7u
#define CONTEXT_OTHER      8u

void sim_upstream_begin(struct sim_upstream *u, struct disk *d, struct oracle *o);
void sim_upstream_end(struct sim_upstream *u);
// A connection to it; NULL: it is down.
struct sock *sim_upstream_connect(struct sim_upstream *u);
void sim_upstream_cost(struct sim_upstream *u, double write_gbs, double zero_gbs, nstime fixed,
                       nstime flush);

// Between its files.
void conn_say(struct upstream_conn *c, const void *p, size_t n);
struct out conn_room(struct upstream_conn *c, size_t n);
void conn_said(struct upstream_conn *c, const struct out *out);
void conn_greet(struct upstream_conn *c);
unsigned conn_handshake_flags(const struct sim_upstream *u); // what it offers
// The proxy has heard all that was said to it: it may ask the next thing.
void conn_expect_heard(const struct upstream_conn *c);
void conn_transmit(struct upstream_conn *c);
// Each takes one whole message off the front of what has come, if there is one.
bool conn_option(struct upstream_conn *c, struct bytes in, size_t *used);
bool conn_request(struct upstream_conn *c, struct bytes in, size_t *used);
void conn_jobs_due(struct upstream_conn *c);
bool conn_emit(struct upstream_conn *c);        // one message of a reply that is ready
void conn_jobs_end(struct upstream_conn *c);    // done now or never
void conn_jobs_linger(struct upstream_conn *c); // done later or never
void job_reply(struct upstream_conn *c, struct job *j);

#endif
