// SPDX-License-Identifier: BSD-3-Clause
// What one worker has counted for one export. Plain numbers, written by that worker's thread only;
// the daemon asks each worker for a copy and adds them up.
#ifndef EXPORT_COUNTERS_H
#define EXPORT_COUNTERS_H

#include <base/histogram.h>
#include <stdint.h>

// In the order of interface.md's `commands`.
enum counted_command {
    COUNT_READ,
    COUNT_WRITE,
    COUNT_WRITE_ZEROES,
    COUNT_TRIM,
    COUNT_FLUSH,
    COUNT_BLOCK_STATUS,
    COUNT_CACHE,
    COUNTED_COMMANDS
};
extern const char *const counted_command_names[COUNTED_COMMANDS]; // "read", "write", ...

struct command_counters {
    uint64_t count, bytes, errors;
    struct histogram latency; // from the request's header to the last byte of the reply queued
};

struct export_counters {
    struct {
        uint64_t requests; // FAST_ZERO requests of clients
        uint64_t
            forwarded; // sent on (with or without the flag), the one that a probe served included
        uint64_t refused;      // answered ENOTSUP by the proxy
        uint64_t already_zero; // answered success by decision 4
        uint64_t sampled;      // served as an A/B sample
    } fast_zero;
    struct {
        uint64_t run, fast, slow, undecided, damaged, bytes;
        nstime time;
    } probes;
    struct {
        uint64_t split;      // client zeroes that went upstream in pieces
        uint64_t by_writing; // zeroes (or pieces) served by WRITE
        uint64_t held;       // requests that waited for a guard
    } zeroes;
    uint64_t repairs; // requests that were made whole blocks
    struct command_counters commands[COUNTED_COMMANDS];
};

void export_counters_merge(struct export_counters *into, const struct export_counters *from);

#endif
