// SPDX-License-Identifier: BSD-3-Clause
// What the files of task_repair*.c share. `block-size = repair`: upstream has a minimum block size,
// the client does not know it, and its requests are widened to whole blocks here (spec: "Size
// constraints").
#ifndef SESSION_TASK_REPAIR_H
#define SESSION_TASK_REPAIR_H

#include "task.h"

// The whole blocks around a range. The export's last, odd piece counts as one.
struct range repair_widen(const struct session *s, struct range r);
// The whole blocks inside it; of length 0 if there is none.
struct range repair_narrow(const struct session *s, struct range r);
// A task with so much data of its own, all of which counts for max-in-flight-bytes; it is cleared,
// but of a WRITE. NULL: out of memory.
struct task *repair_new(struct session *s, const struct request *r, const struct task_kind *kind,
                        uint64_t data, nstime began);
// Its turn, and what it counted beyond the request's own bytes.
void repair_give_back(struct task *t);
// The longest piece of whole blocks that goes upstream in one message.
uint32_t repair_longest(const struct session *s, uint32_t limit);
// Answers with upstream's error, as the client may see it, and ends the task.
void repair_finish(struct task *t, uint32_t error);
void repair_lost(struct task *t);

// task_repair_turns.c: some blocks for one repair alone.
// Guards `span`; then t->step is sent, by a later turn. Out of memory: stepped() hears of it.
void repair_turn_take(struct task *t, struct range span);
// Also where it has none, or still waits for it.
void repair_turn_give(struct task *t);
// As that, where upstream is gone and a WRITE may still be carried out.
void repair_turn_give_later(struct task *t);

void repair_read_begin(struct session *s, const struct request *r, nstime began);
void repair_write_begin(struct session *s, const struct request *r, nstime began);
void repair_zero_begin(struct session *s, const struct request *r, nstime began);
void repair_status_begin(struct session *s, const struct request *r, nstime began);

#endif
