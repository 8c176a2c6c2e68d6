// SPDX-License-Identifier: BSD-3-Clause
// Facts once: the sample file and the manual say what the key table says.
#include "config_text.h"
#include "config_values.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *
read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f, "%s", path);
    char *text = calloc(1, 1 << 20);
    cr_assert(text && fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

static char *
written_by(void (*write)(FILE *out))
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    write(out);
    fclose(out);
    return text;
}

Test(texts, the_sample_file_is_the_table)
{
    char *file = read_file(SOURCE_ROOT "/conf/nbdzero.conf");
    char *table = written_by(config_write_sample);
    cr_expect(strcmp(file, table) == 0,
              "conf/nbdzero.conf is not what `nbdzero-config-text sample` writes: renew it");
    free(file);
    free(table);
}

Test(texts, the_manual_has_the_table)
{
    char *file = read_file(SOURCE_ROOT "/docs/man/nbdzero.conf.5.pod");
    char *table = written_by(config_write_reference);
    const char *begin = "=for comment Generated from the key table: begin\n\n";
    const char *end = "=for comment Generated from the key table: end\n";
    char *from = strstr(file, begin);
    char *to = strstr(file, end);
    cr_assert(from && to && from < to);
    *to = '\0';
    cr_expect(strcmp(from + strlen(begin), table) == 0,
              "nbdzero.conf.5.pod is not what `nbdzero-config-text reference` writes: renew it");
    free(file);
    free(table);
}

// "#key = value" lines become "key = value".
static void
uncomment(char *text)
{
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        char *p = line + 1;
        while (islower((unsigned char)*p) || *p == '-')
            p++;
        bool is_key = p > line + 1 && strncmp(p, " =", 2) == 0;
        bool is_section = strncmp(line, "#[export", 8) == 0;
        if (*line == '#' && (is_key || is_section))
            memmove(line, line + 1, strlen(line));
        if (!*line)
            return;
    }
}

Test(texts, the_sample_is_a_configuration_with_and_without_its_defaults)
{
    char *text = read_file(SOURCE_ROOT "/conf/nbdzero.conf");
    expect_fine(text);
    uncomment(text);
    struct faults f = {0};
    struct config_document doc = {0};
    config_document_parse(&doc, text, strlen(text), &f);
    if (f.n)
        faults_print(&f, "sample", stderr);
    cr_expect_eq(f.n, 0);
    // Every key is there, in the first section that may have it.
    for (enum config_key_id id = 0; id < CONFIG_KEYS; id++) {
        bool given = false;
        for (size_t i = 0; i < doc.n_sections; i++)
            given |= doc.sections[i]->values[id].line != 0;
        cr_expect(given, "%s is not in the sample", config_keys[id].name);
    }
    cr_expect_eq(doc.n_sections, SECTION_KINDS);
    config_document_clear(&doc);
    free(text);
}

Test(texts, the_table_is_sound)
{
    for (enum config_key_id id = 0; id < CONFIG_KEYS; id++) {
        const struct config_key *key = &config_keys[id];
        char err[VALUE_ERROR];
        uint64_t number;
        cr_assert(key->name && key->initial && key->prose && key->sections, "key %u", id);
        cr_expect(value_parse(key, key->initial, &number, err, sizeof err), "%s", err);
        cr_expect_not_null(config_key_form(key), "%s", key->name);
        cr_expect_eq(key->choices[0] != NULL, key->type == VALUE_CHOICE, "%s", key->name);
        cr_expect_leq(key->min, key->max, "%s", key->name);
        for (enum section_kind kind = 0; kind < SECTION_KINDS; kind++)
            if (config_key_in(id, kind))
                cr_expect_eq(config_key_find(kind, key->name), id, "%s is there twice", key->name);
    }
}
