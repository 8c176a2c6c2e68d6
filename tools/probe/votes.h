// SPDX-License-Identifier: BSD-3-Clause
// One measurement may be disturbed: several of a class vote. A SLOW that its own levels speak
// against abstains; any other stands at once unless FAST came before it. FAST takes two votes, and
// more than there are against it.
#ifndef PROBE_VOTES_H
#define PROBE_VOTES_H

#include "result.h"

// Is another measurement needed, of at most `repeat` in all?
bool votes_again(const struct result_class *c, unsigned repeat);
// What they say together. UNKNOWN: too few said anything.
enum zero_verdict votes_verdict(const struct result_class *c);
unsigned votes_for(const struct result_class *c, enum zero_verdict verdict);
// Found SLOW, but a level of it leans the other way, or there was nothing to compare with.
bool votes_doubted(const struct probe *p);
// The first one that says what the class says; else the first. There must be one.
const struct result_run *votes_shown(const struct result_class *c);

#endif
