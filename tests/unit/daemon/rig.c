// SPDX-License-Identifier: BSD-3-Clause
#include "rig.h"

#include <criterion/criterion.h>
#include <string.h>

struct config *
config_of(const char *text, struct faults *faults)
{
    struct config_document doc = {0};
    config_document_parse(&doc, text, strlen(text), faults);
    struct config *c = config_of_document(&doc, NULL, faults);
    config_document_clear(&doc);
    return c;
}

static bool
has(const struct faults *f, bool warning, unsigned line, const char *part)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->list[i].warning == warning && f->list[i].line == line &&
            strstr(f->list[i].text, part))
            return true;
    return false;
}

bool
has_fault(const struct faults *f, unsigned line, const char *part)
{
    return has(f, false, line, part);
}

bool
has_warning(const struct faults *f, unsigned line, const char *part)
{
    return has(f, true, line, part);
}

static void
show(struct faults *f)
{
    faults_print(f, "test.conf", stderr);
}

void
expect_only_fault(const char *text, unsigned line, const char *part)
{
    struct faults f = {0};
    struct config *c = config_of(text, &f);
    bool right = !c && f.errors == 1 && has_fault(&f, line, part);
    if (!right)
        show(&f);
    cr_expect(right, "wanted one fault, in line %u, with \"%s\", of:\n%s", line, part, text);
    config_free(c);
    faults_clear(&f);
}

void
expect_fine(const char *text)
{
    struct faults f = {0};
    struct config *c = config_of(text, &f);
    if (f.errors)
        show(&f);
    cr_expect(c && !f.errors, "wanted no fault in:\n%s", text);
    config_free(c);
    faults_clear(&f);
}
