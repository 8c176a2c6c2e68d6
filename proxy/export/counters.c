// SPDX-License-Identifier: BSD-3-Clause
#include <export/counters.h>

const char *const counted_command_names[COUNTED_COMMANDS] = {
    [COUNT_READ] = "read",   [COUNT_WRITE] = "write", [COUNT_WRITE_ZEROES] = "write_zeroes",
    [COUNT_TRIM] = "trim",   [COUNT_FLUSH] = "flush", [COUNT_BLOCK_STATUS] = "block_status",
    [COUNT_CACHE] = "cache",
};

const char *const counted_error_names[COUNTED_ERRORS] = {
    [COUNT_EPERM] = "EPERM",     [COUNT_EIO] = "EIO",
    [COUNT_ENOMEM] = "ENOMEM",   [COUNT_EINVAL] = "EINVAL",
    [COUNT_ENOSPC] = "ENOSPC",   [COUNT_EOVERFLOW] = "EOVERFLOW",
    [COUNT_ENOTSUP] = "ENOTSUP", [COUNT_ESHUTDOWN] = "ESHUTDOWN",
};

const char *const demotion_names[DEMOTIONS] = {
    [DEMOTED_BY_TRAFFIC] = "traffic",
    [DEMOTED_BY_ZEROES] = "forwarded_zeroes",
    [DEMOTED_BY_PROBE] = "probe",
    [DEMOTED_AS_LIE] = "upstream_lie",
};

static void
add(uint64_t *into, const uint64_t *from, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        into[i] += from[i];
}

void
export_counters_merge(struct export_counters *into, const struct export_counters *from)
{
    into->fast_zero.requests += from->fast_zero.requests;
    into->fast_zero.forwarded += from->fast_zero.forwarded;
    into->fast_zero.refused += from->fast_zero.refused;
    into->fast_zero.already_zero += from->fast_zero.already_zero;
    into->fast_zero.sampled += from->fast_zero.sampled;
    into->probes.run += from->probes.run;
    into->probes.fast += from->probes.fast;
    into->probes.slow += from->probes.slow;
    into->probes.undecided += from->probes.undecided;
    into->probes.damaged += from->probes.damaged;
    into->probes.bytes += from->probes.bytes;
    into->probes.time += from->probes.time;
    into->zeroes.split += from->zeroes.split;
    into->zeroes.by_writing += from->zeroes.by_writing;
    into->zeroes.held += from->zeroes.held;
    into->learning.operations += from->learning.operations;
    into->learning.flushes += from->learning.flushes;
    into->repairs += from->repairs;
    into->translations += from->translations;
    add(into->probes.reasons, from->probes.reasons, PROBE_REASONS);
    add(into->endings, from->endings, REQUEST_ENDINGS_COUNT);
    add(into->errors, from->errors, COUNTED_ERRORS);
    for (unsigned i = 0; i < COUNTED_COMMANDS; i++) {
        into->commands[i].count += from->commands[i].count;
        into->commands[i].bytes += from->commands[i].bytes;
        into->commands[i].errors += from->commands[i].errors;
    }
}
