// SPDX-License-Identifier: BSD-3-Clause
#include "exposition.h"

#include <stdlib.h>
#include <string.h>

static void
put_label(FILE *f, const char *name, const char *value)
{
    fputs(name, f);
    fputs("=\"", f);
    while (*value) {
        size_t plain = strcspn(value, "\n\"\\");
        fwrite(value, 1, plain, f);
        value += plain;
        if (*value == '\n')
            fputs("\\n", f);
        else if (*value)
            fprintf(f, "\\%c", *value);
        value += *value != '\0';
    }
    fputc('"', f);
}

void
put_help(FILE *f, const char *name, const char *type, const char *help)
{
    fprintf(f, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void
put_name(FILE *f, const char *name, const struct labels *l)
{
    fputs(name, f);
    for (unsigned i = 0; l->pairs[i]; i += 2) {
        fputc(i ? ',' : '{', f);
        put_label(f, l->pairs[i], l->pairs[i + 1]);
    }
    if (l->pairs[0])
        fputc('}', f);
    fputc(' ', f);
}

struct labels
with(struct labels l, const char *name, const char *value)
{
    unsigned i = 0;
    while (l.pairs[i])
        i += 2;
    l.pairs[i] = name;
    l.pairs[i + 1] = value;
    return l;
}

// %.17g would show 0.001 as 0.001000000000000000021: as many digits as it takes.
static void
put_real(FILE *f, double v)
{
    char text[32];
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    fprintf(f, "%s\n", text);
}

void
put_number(FILE *f, const json_t *v, double unit)
{
    if (json_is_boolean(v))
        fprintf(f, "%d\n", json_is_true(v));
    else if (json_is_integer(v) && unit == 0)
        fprintf(f, "%" JSON_INTEGER_FORMAT "\n", json_integer_value(v));
    else
        put_real(f, json_number_value(v) * (unit ? unit : 1));
}
