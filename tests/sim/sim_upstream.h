// SPDX-License-Identifier: BSD-3-Clause
// The model upstream: an NBD server on the model disk whose every operation costs virtual time, and
// which may be made to fail, lie, stall or vanish. It checks all that the proxy sends.
#ifndef SIM_UPSTREAM_H
#define SIM_UPSTREAM_H

#include "disk.h"
#include "oracle.h"
#include "sock.h"
#include "world.h"

#include <base/bytes.h>
#include <wire/nbd.h>

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
    uint16_t flags;
    bool no_go, no_structured, no_meta, no_list;
    bool info_says_zero; // as nbd-server's INFO does
    bool has_block_size;
    uint32_t minimum, preferred, maximum;
    struct cost cost[NBD_COMMANDS];
    unsigned jitter_percent;    // how often an operation takes up to twice as long
    bool serial;                // one operation after another
    uint32_t zero_always;       // every WRITE_ZEROES fails so
    unsigned fast_zero_refused; // percent of its own FAST_ZERO answers that are ENOTSUP
    bool status_lies;           // everything reads as zero, it says
    struct fault fault;

    // Misfortunes of the connection that is the `doomed`th (from 1).
    unsigned doomed;
    uint64_t dies_sent, dies_received;
    enum death death;
    uint64_t cut_sent;                     // what it sends arrives cut there, once
    uint64_t stalls_sent, stalls_received; // says, hears nothing more behind so many bytes
    bool down;                             // connecting fails
    enum grain grain;

    // What was seen.
    unsigned connections, live;
    uint64_t commands[NBD_COMMANDS], fast_zeroes, sent_bytes, received_bytes;
    uint64_t most_in_flight, most_payload; // of one connection
    nstime busy_until;
    struct upstream_conn *conns;
};

struct job {
    struct job *next;
    uint16_t type, flags;
    uint64_t cookie;
    struct range range;
    uint8_t *data; // of a WRITE, or what was read
    uint32_t error;
    bool early, executed; // takes effect when it begins
    nstime due;
    uint8_t *parts[8]; // the reply, in messages
    size_t part_len[8];
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
    bool no_zeroes, structured, doomed;
    bool bound;          // was asked for its block sizes, and keeps to them
    unsigned n_contexts; // selected; ids are 7 and 8, base:allocation first
    bool allocation;
    uint8_t *in;
    size_t in_head, in_len, in_cap;
    uint8_t *out;
    size_t out_head, out_len, out_cap;
    uint64_t sent;
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
// Each takes one whole message off the front of what has come, if there is one.
bool conn_option(struct upstream_conn *c, struct bytes in, size_t *used);
bool conn_request(struct upstream_conn *c, struct bytes in, size_t *used);
void conn_jobs_due(struct upstream_conn *c);
bool conn_emit(struct upstream_conn *c); // one message of a reply that is ready
void conn_jobs_end(struct upstream_conn *c, bool executed);
void job_reply(struct upstream_conn *c, struct job *j);

#endif
