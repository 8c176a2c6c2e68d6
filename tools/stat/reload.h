// SPDX-License-Identifier: BSD-3-Clause
// nbdzero-stat reload: what has changed, or what is wrong with the configuration.
#ifndef STAT_RELOAD_H
#define STAT_RELOAD_H

#include "ask.h"

#include <stdio.h>

void reload_print(const struct answer *a, FILE *out, FILE *err);

#endif
