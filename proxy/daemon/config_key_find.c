// SPDX-License-Identifier: BSD-3-Clause
// Looking things up in the table of config_keys.c.
#include "config_keys.h"

#include "nearest.h"

#include <string.h>

const char *const section_names[SECTION_KINDS] = {"proxy", "listen", "upstream", "export"};

const char *
config_key_form(const struct config_key *key)
{
    static const char *const forms[] = {
        [VALUE_BOOL] = "yes or no",
        [VALUE_COUNT] = "a number",
        [VALUE_THREADS] = "auto or a number",
        [VALUE_SIZE] = "a size in bytes, or in K, M, G or T",
        [VALUE_DURATION] = "a time in ms, s, min or h",
        [VALUE_RATIO] = "a fraction",
        [VALUE_MODE] = "an octal number",
        [VALUE_RANGE] = "OFFSET:LENGTH, two sizes",
    };
    return key->form ? key->form : forms[key->type];
}

enum config_key_id
config_key_find(enum section_kind kind, const char *name)
{
    for (enum config_key_id id = 0; id < CONFIG_KEYS; id++)
        if (config_key_in(id, kind) && strcmp(config_keys[id].name, name) == 0)
            return id;
    return CONFIG_KEYS;
}

const char *
config_key_nearest(enum section_kind kind, const char *name)
{
    struct nearest n = nearest_to(name);
    for (enum config_key_id id = 0; id < CONFIG_KEYS; id++)
        if (config_key_in(id, kind))
            nearest_offer(&n, config_keys[id].name);
    return n.best;
}

enum section_kind
section_kind_find(const char *word)
{
    enum section_kind kind = 0;
    while (kind < SECTION_KINDS && strcmp(section_names[kind], word) != 0)
        kind++;
    return kind;
}
