// SPDX-License-Identifier: BSD-3-Clause
// What a sector holds, as a number: every WRITE has a stamp of its own, and each sector that it
// fills can be told from all others. Stamp 0 is zeroes.
#ifndef SIM_STAMPS_H
#define SIM_STAMPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECTOR   512u
#define STAMPS   4 // that one sector may hold; more: anything goes
#define ANYTHING (STAMPS + 1)

struct stamps {
    uint8_t n; // ANYTHING: no statement
    uint32_t v[STAMPS];
};

void stamp_fill(uint32_t stamp, uint64_t offset, uint8_t *p, size_t n);
bool stamp_holds(const uint8_t *p, uint64_t offset, uint32_t stamp); // one sector

bool stamps_among(const struct stamps *s, const uint8_t *p, uint64_t offset);
void stamps_add(struct stamps *s, uint32_t stamp);
void stamps_add_all(struct stamps *s, const struct stamps *more);
void stamps_set(struct stamps *s, uint32_t stamp);

#endif
