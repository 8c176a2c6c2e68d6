// SPDX-License-Identifier: BSD-3-Clause
// May this request go upstream, and what is the answer if not? Pure: the request and the export's
// facts in, an error out.
#ifndef RELAY_ADMIT_H
#define RELAY_ADMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <wire/codec.h>

// An export as one client sees it.
struct export_facts {
    uint64_t size;
    uint16_t upstream_flags;   // as upstream sent them
    uint16_t flags;            // as the client was told
    uint32_t minimum;          // block size the client is bound to; 1 if it negotiated none
    uint32_t upstream_minimum; // block size we have promised upstream; above `minimum` where
                               // requests are repaired (block-size = repair)
    uint32_t preferred;        // upstream's preferred block size, 0 if it said none
    uint32_t max_payload;      // longest READ and WRITE
    enum wire_format client_format, upstream_format;
    bool contexts;     // the client has selected metadata contexts
    bool status_by_us; // upstream has no block status: base:allocation is all data, we answer
    bool fua_by_flush; // upstream has no FUA: a FLUSH behind the write keeps its promise
};

enum admission {
    ADMIT_PASS,   // good; go on with it
    ADMIT_ANSWER, // answer `error` (0: success, there is nothing to do), the payload is drained
    ADMIT_END,    // a payload too long to drain: close the connection
};

enum admission admit_request(const struct export_facts *f, const struct request *r,
                             uint32_t *error);

// What the client is told of an export. `read_only`, `fast_zero`: as configuration and policy want
// it (fast_zero is cleared where it may not be).
enum fast_zero_offer { FAST_ZERO_HIDE, FAST_ZERO_OFFER, FAST_ZERO_AS_UPSTREAM };
uint16_t advertised_flags(uint16_t upstream, enum wire_format client, bool read_only,
                          enum fast_zero_offer fast_zero);

#endif
