// SPDX-License-Identifier: BSD-3-Clause
// Why the daemon cannot be asked, in words that tell what to do.
#ifndef STAT_TROUBLE_H
#define STAT_TROUBLE_H

#include <stddef.h>

// `error`: an errno of connecting, sending or receiving.
void trouble_explain(const char *path, int error, char *buf, size_t cap);

#endif
