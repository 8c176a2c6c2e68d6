// SPDX-License-Identifier: BSD-3-Clause
// Which chunk of the request a probe measures next, and which of its samples count.
#include "parts.h"

#define DISTURBED_MOST 3u // chunks of one level whose samples may not count

unsigned
last_level(const struct probe *p)
{
    return p->mode == PROBE_SCRATCH ? PROBE_LEVELS - 1 : PROBE_LEVELS - 2;
}

// Where the next chunk lies. A scratch range is used again and again: every chunk is filled anew.
static bool
find_place(const struct probe *p, uint32_t size, uint64_t *offset)
{
    *offset = align_up(p->next_offset, p->align);
    if (*offset >= p->next_offset && *offset + size <= range_end(p->range))
        return true;
    *offset = align_up(p->range.offset, p->align);
    return p->mode == PROBE_SCRATCH && *offset + size <= range_end(p->range);
}

bool
chunk_take(struct probe *p, nstime now)
{
    uint32_t size = probe_sizes[p->level];
    uint64_t offset, bytes = p->mode == PROBE_SCRATCH ? UINT64_C(2) * size : size;
    if (!find_place(p, size, &offset)) {
        p->stop = PROBE_NO_RANGE;
        return false;
    }
    enum probe_op first = p->mode == PROBE_TEACH ? PROBE_OP_ZERO : PROBE_OP_READ;
    if (p->written + bytes > p->rules.probe_bytes || !budget_fits(p, first, now)) {
        p->stop = PROBE_NO_BUDGET;
        return false;
    }
    p->chunk = (struct range){.offset = offset, .length = size};
    p->next_offset = offset + size;
    p->clean = true;
    p->skip = false;
    return true;
}

// Nothing is stored here. The next one is further on each time: a range that begins with a long
// hole is not walked through in steps of 64 KiB.
void
chunk_skip(struct probe *p)
{
    p->skip = true;
    uint64_t stride = p->chunk.length << (p->skips < 14 ? p->skips : 14);
    p->next_offset = p->chunk.offset + stride;
    p->skips++;
}

static void
count_sample(struct probe *p)
{
    p->skips = 0;
    bool warm_up = p->level == 0 && p->runs == 0;
    p->runs++;
    struct probe_level *l = &p->levels[p->level];
    if (warm_up || !p->clean)
        return;
    for (unsigned op = 0; op < PROBE_OPS; op++)
        l->took[op][l->n] = p->took[op];
    l->n++;
}

static unsigned
runs_allowed(unsigned level)
{
    return probe_repeats[level] + (level == 0 ? 1 : 0) + DISTURBED_MOST;
}

enum zero_verdict
chunk_count(struct probe *p)
{
    if (p->skip)
        return ZERO_UNKNOWN;
    count_sample(p);
    if (!level_complete(p, p->level)) {
        if (p->runs == runs_allowed(p->level))
            p->stop = PROBE_DISTURBED;
        return ZERO_UNKNOWN;
    }
    enum zero_verdict verdict = p->verdict;
    if (verdict == ZERO_UNKNOWN)
        verdict = verdict_after_level(p, p->level);
    if (verdict != ZERO_UNKNOWN && !p->thorough)
        return verdict;
    if (p->level == last_level(p)) {
        p->stop = PROBE_ALL_LEVELS;
        return verdict;
    }
    p->level++;
    p->runs = 0;
    return verdict;
}
