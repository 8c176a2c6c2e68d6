// SPDX-License-Identifier: BSD-3-Clause
// May this server be measured in this way? Before anything is written.
#ifndef PROBE_CHECKS_H
#define PROBE_CHECKS_H

#include "arguments.h"
#include "greeting.h"

// False: err is one line, what is wrong and what would be right.
bool checks_pass(const struct arguments *a, const struct server_facts *f, char *err, size_t errlen);

#endif
