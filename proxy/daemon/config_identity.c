// SPDX-License-Identifier: BSD-3-Clause
// user and group of [proxy].
#include "config_parts.h"

#include "memory.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>

// A user by name, or by number, of whom the system need know nothing. False: there is none.
static bool
find_user(const char *text, struct run_as *id)
{
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    bool by_number = *text >= '0' && *text <= '9' && !*end;
    if (by_number && (errno || number >= (uid_t)-1))
        return false;
    // Only the main thread looks for one.
    const struct passwd *p = by_number ? getpwuid((uid_t)number) : getpwnam(text);
    id->gid = NO_GROUP;
    if (p) {
        id->uid = p->pw_uid;
        id->gid = p->pw_gid;
        id->name = need_copy(p->pw_name);
    } else if (by_number) {
        id->uid = (uid_t)number;
    }
    return p || by_number;
}

void
config_identity(struct run_as *id, const struct config_value *user,
                const struct config_value *group, struct faults *faults)
{
    if (!*user->text) {
        if (*group->text)
            fault_at(faults, group->line, "group needs user: user = NAME would be right, too");
        return;
    }
    id->given = true;
    if (!find_user(user->text, id)) {
        fault_at(faults, user->line,
                 "user = %s: there is no such user; the name or number of one would be right",
                 user->text);
        return;
    }
    if (*group->text && !group_find(group->text, &id->gid))
        fault_at(faults, group->line,
                 "group = %s: there is no such group; the name or number of one would be right",
                 group->text);
    else if (id->gid == NO_GROUP)
        fault_at(faults, user->line,
                 "user = %s is no user that the system knows: group = NAME or number is needed, "
                 "too",
                 user->text);
}
