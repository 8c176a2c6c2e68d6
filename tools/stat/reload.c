// SPDX-License-Identifier: BSD-3-Clause
#include "reload.h"

#include "table.h"

#include <stdlib.h>
#include <string.h>

static void
print_lines(const json_t *lines, const char *before, FILE *to)
{
    size_t i;
    json_t *line;
    json_array_foreach(lines, i, line)
    {
        char *copy = strdup(json_is_string(line) ? json_string_value(line) : "?");
        fprintf(to, "%s%s\n", before, copy ? table_safe(copy) : "?");
        free(copy);
    }
}

void
reload_print(const struct answer *a, FILE *out, FILE *err)
{
    char error[sizeof a->error];
    if (!a->result) {
        print_lines(a->faults, "", err);
        memcpy(error, a->error, sizeof error);
        fprintf(err, "nbdzero-stat: %s\n", table_safe(error));
        return;
    }
    const json_t *changes = json_object_get(a->result, "changes");
    fputs(json_array_size(changes) ? "reloaded\n" : "reloaded: nothing has changed\n", out);
    print_lines(changes, "", out);
    print_lines(json_object_get(a->result, "warnings"), "warning: ", out);
}
