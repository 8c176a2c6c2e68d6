// SPDX-License-Identifier: BSD-3-Clause
#include "alone.h"

#include <errno.h>
#include <session/routes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// A file of ours would be one that the proxy's user cannot open.
static bool
has_locks(const char *state_dir)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/locks", state_dir);
    return n > 0 && (size_t)n < sizeof path && access(path, R_OK | W_OK) == 0;
}

bool
alone_take(struct export_lock *l, const char *state_dir, const struct nbd_uri *uri, char *err,
           size_t errlen)
{
    char address[ROUTE_PLACE_TEXT];
    *l = (struct export_lock){.fd = -1};
    if (!has_locks(state_dir)) {
        snprintf(err, errlen,
                 "--state-dir %s: %s/locks: %s: the state-dir of an nbdzero-proxy is "
                 "wanted",
                 state_dir, state_dir, strerror(errno));
        return false;
    }
    *l = lock_open(state_dir, bytes_str(route_place(uri, address)),
                   bytes_of(uri->export, uri->export_len));
    if (lock_alone(l))
        return true;
    if (lock_is_taken(errno))
        snprintf(err, errlen,
                 "an nbdzero-proxy serves this export, or probes it: nothing is measured "
                 "in place while it does");
    else
        snprintf(err, errlen,
                 "--state-dir %s: %s/locks cannot be locked: %s: nothing is measured in place "
                 "without that",
                 state_dir, state_dir, strerror(errno));
    lock_close(l);
    return false;
}
