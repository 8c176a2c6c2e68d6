// SPDX-License-Identifier: BSD-3-Clause
#include "config_text.h"

#include "config_keys.h"
#include "config_values.h"

#include <string.h>

#define WIDTH 78

static const struct {
    const char *sample_head; // the section's line in the sample
    const char *pod_head;
    const char *about;
} sections[SECTION_KINDS] = {
    [SECTION_PROXY] = {"[proxy]", "[proxy]", "The process as a whole. May be left out."},
    [SECTION_LISTEN] = {"[listen main]", "[listen NAME]",
                        "Where clients connect; one section or more."},
    [SECTION_UPSTREAM] = {"[upstream storage]", "[upstream NAME]",
                          "An NBD server behind the proxy; one section or more."},
    [SECTION_EXPORT] = {"#[export disk1]", "[export NAME]",
                        "What is different for one export, named as clients ask for it; "
                        "[export \"\"] is the default export. Takes any key of [upstream] from "
                        "read-only to write-zeroes, too, and has precedence there."},
};

// Words, wrapped, each line behind `prefix`.
static void
wrap(FILE *out, const char *prefix, const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column && column + 1 + word > WIDTH) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0)
            column = (size_t)fprintf(out, "%s", prefix);
        else
            column += (size_t)fprintf(out, " ");
        column += fwrite(text, 1, word, out);
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

// Once, in the first section that has it.
static bool
shown_in(enum config_key_id id, enum section_kind kind)
{
    return config_key_in(id, kind) && !(config_keys[id].sections & ((1u << kind) - 1));
}

static void
key_facts(const struct config_key *key, char *buf, size_t cap)
{
    char low[32], high[32], range[80] = "";
    if (key->max)
        snprintf(range, sizeof range, " (%s%s to %s)", key->zero_is_none ? "0, or " : "",
                 value_text(key, key->min, low, sizeof low),
                 value_text(key, key->max, high, sizeof high));
    snprintf(buf, cap, "Value: %s%s.%s", config_key_form(key), range,
             key->only_default ? " Not yet supported: only the default is accepted." : "");
}

static void
sample_key(FILE *out, const struct config_key *key)
{
    char facts[256];
    fputc('\n', out);
    wrap(out, "# ", key->prose);
    key_facts(key, facts, sizeof facts);
    wrap(out, "# ", facts);
    if (key->example)
        fprintf(out, "%s = %s\n", key->name, key->example);
    else
        fprintf(out, "#%s =%s%s\n", key->name, *key->initial ? " " : "", key->initial);
}

void
config_write_sample(FILE *out)
{
    fputs("# nbdzero.conf - configuration of nbdzero-proxy; see nbdzero.conf(5).\n"
          "#\n"
          "# Every key is here. Lines that begin with #key show the default. Sizes take K, M,\n"
          "# G and T (powers of 1024); times take ms, s, min and h. A comment begins with # or\n"
          "# ; in the first column, or with ; after a value and a blank.\n"
          "# nbdzero-proxy --check -c FILE names every fault with its line.\n",
          out);
    for (enum section_kind kind = 0; kind < SECTION_KINDS; kind++) {
        fputc('\n', out);
        wrap(out, "# ", sections[kind].about);
        fprintf(out, "%s\n", sections[kind].sample_head);
        for (enum config_key_id id = 0; id < CONFIG_KEYS; id++)
            if (shown_in(id, kind))
                sample_key(out, &config_keys[id]);
    }
}

// POD reads < behind a capital letter as markup; our texts have neither that nor a line's first
// blank.
static void
reference_key(FILE *out, const struct config_key *key)
{
    char facts[256];
    if (key->example)
        fprintf(out, "=item B<%s> = I<%s>\n\n", key->name, key->example);
    else if (*key->initial)
        fprintf(out, "=item B<%s> = %s\n\n", key->name, key->initial);
    else
        fprintf(out, "=item B<%s> =\n\n", key->name);
    wrap(out, "", key->prose);
    if (key->fixed)
        wrap(out, "", "Fixed while the process runs: a reload will not change it.");
    fputc('\n', out);
    key_facts(key, facts, sizeof facts);
    wrap(out, "", facts);
    fputc('\n', out);
}

void
config_write_reference(FILE *out)
{
    for (enum section_kind kind = 0; kind < SECTION_KINDS; kind++) {
        fprintf(out, "=head2 %s\n\n", sections[kind].pod_head);
        wrap(out, "", sections[kind].about);
        fputs("\n=over 4\n\n", out);
        for (enum config_key_id id = 0; id < CONFIG_KEYS; id++)
            if (shown_in(id, kind))
                reference_key(out, &config_keys[id]);
        fputs("=back\n\n", out);
    }
}
