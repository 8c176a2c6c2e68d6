// SPDX-License-Identifier: BSD-3-Clause
// Every limit that is not a configuration key, in one place, each with its reason.
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include <stdint.h>

// Strings of the protocol: names, descriptions, error texts (spec: "Values", 4096 bytes).
#define MAX_STRING 4096u

// An option is parsed up to here. The largest legal INFO is 135,172 bytes; META with many queries
// may be longer, but nobody needs 60 queries of 4 KiB.
#define MAX_OPTION_PARSED (256u << 10)
// Longer ones are drained and answered TOO_BIG up to here, which is where qemu-nbd disconnects,
// too.
#define MAX_OPTION_DRAINED (32u << 20)
// Options of one handshake, and how many more each listed export earns (a client that lists asks
// for the details of each). nbdkit allows 32 and 32.
#define MAX_OPTIONS            64u
#define MAX_OPTIONS_PER_EXPORT 32u

// What an upstream may answer to one option: entries, and bytes of all of them.
#define MAX_REPLY_ITEMS 10000u
#define MAX_REPLY_BYTES (32u << 20)
// One option reply: the longest legal one is REP_SERVER with name and description.
#define MAX_OPTION_REPLY (4u + 2 * MAX_STRING)
// Metadata contexts we remember a connection, our own hidden base:allocation included.
#define MAX_CONTEXTS 32u

// READ and WRITE payload: what the spec calls portable ("Size constraints", 2^25).
#define MAX_PAYLOAD (32u << 20)
// A longer WRITE is drained and answered EINVAL up to here; above, the connection is closed.
#define MAX_WRITE_DRAINED (64u << 20)
// Extents of one block status chunk (spec: NBD_CMD_BLOCK_STATUS, "SHOULD NOT send more than 2^20").
#define MAX_STATUS_EXTENTS (1u << 20)
// Export sizes: off_t of every client we know.
#define MAX_EXPORT_SIZE ((uint64_t)INT64_MAX)

#endif
