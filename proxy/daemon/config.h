// SPDX-License-Identifier: BSD-3-Clause
// The configuration, checked as a whole and in the form that the process works with.
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include "config_document.h"
#include "control_peer.h"
#include "counters.h"
#include "faults.h"
#include "privileges.h"

#include <base/log.h>
#include <io/address.h>
#include <session/settings.h>

struct config {
    unsigned threads;     // 0: as many as there are CPUs
    char *control_socket; // "": none
    bool control_socket_given;
    struct address metrics;
    bool has_metrics;
    unsigned control_mode;
    gid_t control_group; // NO_GROUP: none
    struct run_as identity;
    enum log_level log_level;
    unsigned max_connections;
    unsigned max_per_client; // connections of one address; 0: no limit
    nstime drain_timeout;
    nstime upgrade_timeout;          // 0: none
    struct settings *settings;       // one reference
    struct counters *counters;       // one reference; they outlive the settings
    struct config_document document; // as it was read: what the next one is compared with
};

// Reads and checks the file. NULL if there is any fault; warnings may be there in either case.
// Never touches anything on disk but by reading.
struct config *config_load(const char *path, struct faults *faults);
// The same for a process that runs already: listeners and upstreams that keep their names go on
// counting where they are.
struct config *config_reload(const char *path, const struct config *running, struct faults *faults);
// The same from a document that has been read, faults and all, and stays the caller's; `running`
// may be NULL.
struct config *config_of_document(const struct config_document *doc, const struct config *running,
                                  struct faults *faults);
// Drops its references. With the last config the counters go: sessions must have ended then.
void config_free(struct config *c);

#endif
