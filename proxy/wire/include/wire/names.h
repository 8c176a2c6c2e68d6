// SPDX-License-Identifier: BSD-3-Clause
// What the numbers of nbd.h are called, for logs and errors. Unknown numbers get "unknown".
#ifndef WIRE_NAMES_H
#define WIRE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

const char *nbd_option_name(uint32_t option);      // "GO"
const char *nbd_reply_name(uint32_t option_reply); // "ERR_UNKNOWN"
const char *nbd_command_name(uint16_t command);    // "WRITE_ZEROES"
const char *nbd_error_name(uint32_t error);        // "ENOTSUP"

// What a command is and may carry: one table of everything that the proxy knows.
struct nbd_command_info {
    const char *name;
    uint16_t flags;    // command flags that the spec allows on it, FUA apart (that one goes on all)
    uint16_t needs;    // transmission flag without which it must not be sent, or 0
    bool changes_data; // EPERM on a read-only export
    bool has_range;    // offset and length are a range of the export
    uint32_t beyond_end; // the error for a range past the end (spec: "Error values")
};

// NULL if the command is unknown.
const struct nbd_command_info *nbd_command_info(uint16_t command);

// The error to send on for one that an upstream sent for `command`: known values as they are, but
// ENOTSUP and EOVERFLOW only where the spec allows them and EINVAL elsewhere; unknown values are
// EIO for READ, WRITE and FLUSH and EINVAL otherwise (spec: "Error values"; old servers sent raw
// errno). `fast_zero`: the request that failed had FAST_ZERO set; `df`: it was a READ with DF.
uint32_t nbd_error_for_client(uint32_t error, uint16_t command, bool fast_zero, bool df);

#endif
