// SPDX-License-Identifier: BSD-3-Clause
// Keeps nbdzero-proxy away from an export that is measured in place: the lock by which its
// processes keep each other away.
#ifndef PROBE_ALONE_H
#define PROBE_ALONE_H

#include <export/lock.h>
#include <io/address.h>

// Takes it, without waiting. False: err is one line.
bool alone_take(struct export_lock *l, const char *state_dir, const struct nbd_uri *uri, char *err,
                size_t errlen);

#endif
