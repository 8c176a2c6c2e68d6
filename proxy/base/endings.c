// SPDX-License-Identifier: BSD-3-Clause
#include <base/endings.h>

static const struct {
    const char *name;
    char who;
} endings[] = {
#define X(id, name, who) {name, who},
    SESSION_ENDINGS(X)
#undef X
};

const char *
session_ending_name(enum session_ending e)
{
    return endings[e].name;
}

char
session_ending_who(enum session_ending e)
{
    return endings[e].who;
}
