// SPDX-License-Identifier: BSD-3-Clause
// How config.c makes settings from the sections, a file for each kind. Each adds the faults it
// finds and goes on; the result is used only if there were none.
#ifndef DAEMON_CONFIG_PARTS_H
#define DAEMON_CONFIG_PARTS_H

#include "config_document.h"
#include "control_peer.h"
#include "counters.h"
#include "privileges.h"

#include <session/settings.h>

void config_upstreams(struct settings *s, const struct config_document *doc,
                      struct counters *counters, struct faults *faults);
// After the upstreams.
void config_listeners(struct settings *s, const struct config_document *doc,
                      struct counters *counters, struct faults *faults);
// After the listeners; sees to it that each of them serves something.
void config_exports(struct settings *s, const struct config_document *doc, struct faults *faults);

// Whom the process becomes. `id` is zeroed before; owns its name.
void config_identity(struct run_as *id, const struct config_value *user,
                     const struct config_value *group, struct faults *faults);

// The networks of a listener's allow; after its address.
void config_listener_allow(struct listener_settings *l, const struct config_section *section,
                           struct faults *faults);

// The policy keys of an [upstream] or [export] section: those that were given go into p, or all of
// them where `all`.
void config_policy(struct policy *p, const struct config_section *s, bool all);
// Warns of what a policy key given in this section will do.
void config_policy_warn(const struct config_section *s, struct faults *faults);

// The scratch keys of a section with this policy. `s` is zeroed before; owns its name.
void config_scratch(struct scratch_settings *s, const struct config_section *section,
                    const struct policy *p, struct faults *faults);
// The value as an export's name: percent-decoded, "" is the empty one. Owned by the caller.
struct bytes config_name(const struct config_value *v, const char *key, struct faults *faults);
void config_name_free(struct bytes name);

// NULL, and a fault at `line` that names the nearest, if there is none of that name.
const struct upstream_settings *config_find_upstream(const struct settings *s, const char *name,
                                                     unsigned line, struct faults *faults);
const struct listener_settings *config_find_listener(const struct settings *s, const char *name,
                                                     unsigned line, struct faults *faults);

// Sections of one kind, in their order: *at is where to look from; NULL at the end.
const struct config_section *config_next(const struct config_document *doc, enum section_kind kind,
                                         size_t *at);
unsigned config_count(const struct config_document *doc, enum section_kind kind);

#endif
