// SPDX-License-Identifier: BSD-3-Clause
#include "rig_tls.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char built[4096];

static void
add(const char *fmt, ...)
{
    size_t used = strlen(built);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(built + used, sizeof built - used, fmt, ap);
    va_end(ap);
    cr_assert(n >= 0 && (size_t)n < sizeof built - used);
}

static void
begin(void)
{
    built[0] = '\0';
    add("[listen l]\naddress = 127.0.0.1:1\nupstream = u\n");
}

const char *
listener_with(const char *const *keys)
{
    begin();
    for (; *keys; keys++)
        add("%s", *keys);
    add("[upstream u]\nuri = nbd://a\n");
    return built;
}

const char *
upstream_with(const char *const *uri_and_keys)
{
    begin();
    add("[upstream u]\nuri = %s\n", *uri_and_keys);
    for (const char *const *key = uri_and_keys + 1; *key; key++)
        add("%s", *key);
    return built;
}

const char *
text_of(const char *fmt, const char *value)
{
    static char texts[8][300];
    static unsigned n;
    char *text = texts[n++ % 8];
    const char *at = strstr(fmt, "%s");
    cr_assert_not_null(at, "%s", fmt);
    int len = snprintf(text, sizeof texts[0], "%.*s%s%s", (int)(at - fmt), fmt, value, at + 2);
    cr_assert_lt(len, (int)sizeof texts[0]);
    return text;
}
