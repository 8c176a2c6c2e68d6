// SPDX-License-Identifier: BSD-3-Clause
// What is true of the disk as clients were told: for each sector what it may hold now, and what
// must be left of it after a power cut.
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include "disk.h"
#include "stamps.h"

#include <base/range.h>
#include <base/time.h>
#include <stdbool.h>
#include <stdint.h>

// One request of a client, until its reply.
struct op {
    struct op *next;
    unsigned client;
    uint16_t type, flags;
    struct range range;
    uint64_t cookie;
    uint32_t stamp;   // of a WRITE
    uint64_t ends_at; // how many bytes its client has sent when all of it is sent
    nstime began;
    uint64_t order;   // of beginnings
    bool contextless; // a BLOCK_STATUS that nothing has been agreed on for
    // Of the reply.
    bool structured_seen, failed;
    uint32_t error;
    uint8_t *data;  // READ: what came
    uint8_t *known; // READ: one byte for each sector that has come
    uint64_t got;
    unsigned contents;    // chunks of content
    unsigned status_seen; // a bit for each context
};

struct sector {
    struct stamps now, safe; // none in `now`: fresh, never written to, zeroes
    bool lost;               // a flush failed since: no later one brings it back
    uint32_t writer;         // the last one's client
    uint64_t written;        // when the last write ended, in `orders`
};

struct oracle {
    uint64_t size;
    struct disk *disk;
    struct range scratch; // the proxy's own: anything may be there
    uint32_t repair; // unaligned WRITEs may reach upstream in whole blocks of this size; 0: not
    struct sparse sectors; // of struct sector
    struct op *ops;
    uint32_t stamps;
    uint64_t orders;
    uint32_t zeroes_fail;   // what plain WRITE_ZEROES may be answered, since upstream says so
    nstime flush_failed_at; // upstream's last failure of a FLUSH, of whomever
    bool loose;             // an error was injected: EIO is a legal answer from now on
    bool draining;          // ESHUTDOWN is right, too
};

void oracle_begin(struct oracle *o, struct disk *d);
void oracle_end(struct oracle *o);

uint32_t oracle_stamp(struct oracle *o);
// Writes stamped data to the disk, behind everybody's back, and makes it safe.
void oracle_fill(struct oracle *o, struct range r);

// A request begins; it is the oracle's until it is over.
struct op *oracle_op(struct oracle *o, unsigned client, uint16_t type, uint16_t flags,
                     struct range r);
// Does a request that changes data, and is not over, overlap? (`any`: one that reads, too.)
bool oracle_busy(const struct oracle *o, struct range r, bool any);
// A status that was told: these bytes read as zero.
void oracle_told_zero(struct oracle *o, const struct op *op, struct range r);
// Its reply has come: checks it, and what follows from it, and forgets it. What is promised to
// survive a power cut is looked at now.
void oracle_done(struct oracle *o, struct op *op, uint32_t error);

// A command that changes data has reached upstream: must be what some client asked for, or a part
// of it. `p` is the data of a WRITE; `sent_by` tells how many bytes a client has sent.
void oracle_upstream(struct oracle *o, uint16_t type, uint16_t flags, struct range r,
                     const uint8_t *p, uint64_t (*sent_by)(unsigned client));

// Nothing is under way: the whole disk is as it must be.
void oracle_check_all(struct oracle *o);

#endif
