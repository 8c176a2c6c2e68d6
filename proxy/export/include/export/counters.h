// SPDX-License-Identifier: BSD-3-Clause
// What one worker has counted for one export. Plain numbers, written by that worker's thread only;
// the daemon asks each worker for a copy and adds them up.
#ifndef EXPORT_COUNTERS_H
#define EXPORT_COUNTERS_H

#include <base/endings.h>
#include <base/histogram.h>
#include <stdint.h>
#include <zero/probe.h>

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
};

// Errors that clients were answered with, by their names in the protocol.
enum counted_error {
    COUNT_EPERM,
    COUNT_EIO,
    COUNT_ENOMEM,
    COUNT_EINVAL,
    COUNT_ENOSPC,
    COUNT_EOVERFLOW,
    COUNT_ENOTSUP,
    COUNT_ESHUTDOWN,
    COUNTED_ERRORS
};
extern const char *const counted_error_names[COUNTED_ERRORS]; // "EPERM", "EIO", ...

// Fast verdicts that were taken back, by what showed it.
enum demotion {
    DEMOTED_BY_TRAFFIC, // clients' requests that ran alone
    DEMOTED_BY_ZEROES,  // zeroes that were forwarded since they were believed to be fast
    DEMOTED_BY_PROBE,   // or a sample
    DEMOTED_AS_LIE,     // upstream's own word
    DEMOTIONS
};
extern const char *const demotion_names[DEMOTIONS]; // "traffic", ...

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
        uint64_t reasons[PROBE_REASONS];
    } probes;
    struct {
        uint64_t split;      // client zeroes that went upstream in pieces
        uint64_t by_writing; // zeroes (or pieces) served by WRITE
        uint64_t held;       // requests that waited for a guard
    } zeroes;
    struct {
        uint64_t operations, flushes; // of clients, that taught since they ran alone
    } learning;
    uint64_t repairs;      // requests that were made whole blocks
    uint64_t translations; // requests whose client and upstream speak different formats
    uint64_t endings[REQUEST_ENDINGS_COUNT];
    uint64_t errors[COUNTED_ERRORS];
    struct command_counters commands[COUNTED_COMMANDS];
    // For each command, from the request's header to the last byte of the reply queued. Apart,
    // since it is large; not touched by a merge.
    struct histogram *latency;
};

void export_counters_merge(struct export_counters *into, const struct export_counters *from);

#endif
