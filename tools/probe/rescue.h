// SPDX-License-Identifier: BSD-3-Clause
// What could not be written back is kept in a file of the current directory.
#ifndef PROBE_RESCUE_H
#define PROBE_RESCUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Makes a new file, readable by its owner only, and writes its name. False: errno.
bool rescue(uint64_t offset, const uint8_t *data, size_t n, char *name, size_t cap);

#endif
