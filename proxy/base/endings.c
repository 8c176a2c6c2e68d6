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

const char *
request_ending_name(enum request_ending e)
{
    static const char *const names[] = {
#define X(id, name) name,
        REQUEST_ENDINGS(X)
#undef X
    };
    return names[e];
}

char
session_ending_who(enum session_ending e)
{
    return endings[e].who;
}
