// SPDX-License-Identifier: BSD-3-Clause
// What a reload says has changed.
#include "config_changes.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char told[4096];

static void
note(void *ctx, const char *line)
{
    snprintf(told + strlen(told), sizeof told - strlen(told), "%s\n", line);
}

static void
read_both(const char *old, const char *next, struct config_document docs[2])
{
    struct faults f = {0};
    config_document_parse(&docs[0], old, strlen(old), &f);
    config_document_parse(&docs[1], next, strlen(next), &f);
    cr_assert_eq(f.errors, 0);
    faults_clear(&f);
}

static void
expect_told(const char *old, const char *next, const char *lines)
{
    struct config_document docs[2] = {0};
    struct faults warnings = {0};
    read_both(old, next, docs);
    *told = '\0';
    config_changes(&docs[0], &docs[1], &warnings, note, NULL);
    cr_expect_str_eq(told, lines, "told:\n%swanted:\n%s", told, lines);
    cr_expect_eq(warnings.n, 0);
    config_document_clear(&docs[0]);
    config_document_clear(&docs[1]);
}

Test(changes, none)
{
    expect_told(GOOD, GOOD, "");
    expect_told(GOOD, "; words\n" GOOD "connect-timeout = 5000ms\nprobe-bytes = 32768K\n", "");
    expect_told(GOOD, "[proxy]\nkeepalive = 1min\n" GOOD, "");
    expect_told("[proxy]\nthreads = auto\n" GOOD, GOOD, "");
}

Test(changes, of_each_kind_of_section)
{
    expect_told(GOOD, "[proxy]\nmax-connections = 7\n" GOOD,
                "[proxy] max-connections: 10000 -> 7\n");
    expect_told("[proxy]\nmax-connections = 7\n" GOOD, GOOD,
                "[proxy] max-connections: 7 -> 10000\n");
    expect_told(GOOD, GOOD "fast-zero = never\ntls-hostname = a\n",
                "[upstream storage] tls-hostname: nothing -> a\n"
                "[upstream storage] fast-zero: measure -> never\n");
    expect_told(GOOD "[export \"\"]\nupstream = storage\n",
                GOOD "[export \"\"]\nupstream = storage\nread-only = yes\n",
                "[export] read-only: as its upstream -> yes\n");
    expect_told(GOOD "[listen b]\naddress = [::1]:1\n[listen c]\naddress = [::1]:2\n",
                GOOD "[listen c]\naddress = [::1]:3\nsocket-mode = 0640\n[listen d]\n",
                "[listen c] address: [::1]:2 -> [::1]:3\n"
                "[listen c] socket-mode: 0600 -> 0640\n"
                "[listen d]: new\n"
                "[listen b]: gone; connections that it has stay\n");
}

// Each with its own counterpart, wherever that stood.
Test(changes, exports_of_one_name)
{
#define AT(listen, more) "[export a]\nlisten = " listen "\nupstream = storage\n" more
    expect_told(GOOD AT("x", "") AT("y", "read-only = yes\n"),
                GOOD AT("y", "read-only = yes\n") AT("x", ""), "");
    expect_told(GOOD AT("x", "") AT("y", "max-zero = 1M\n"),
                GOOD AT("x", "") AT("y", "max-zero = 2M\n"),
                "[export a] (listen = y, upstream = storage) max-zero: 1M -> 2M\n");
    expect_told(
        GOOD AT("x", "") AT("y", ""), GOOD AT("y", ""),
        "[export a] (listen = x, upstream = storage): gone; connections that it has stay\n");
    expect_told(GOOD AT("y", ""), GOOD AT("x", "") AT("y", ""),
                "[export a] (listen = x, upstream = storage): new\n");
    expect_told(GOOD AT("x", "") AT("y", ""), GOOD AT("x", "") AT("z", ""),
                "[export a] (listen = z, upstream = storage) listen: y -> z\n");
    expect_told(GOOD "[export a]\nname = b\n[export a]\nname = c\n",
                GOOD "[export a]\nname = c\n[export a]\nname = b\nread-only = yes\n",
                "[export a] (name = b) read-only: as its upstream -> yes\n");
}

// What an export says itself is no longer its upstream's to say, the default no less than others.
Test(changes, what_an_export_has_from_its_upstream)
{
    expect_told(GOOD "[export a]\n", GOOD "[export a]\nfast-zero = measure\n",
                "[export a] fast-zero: as its upstream -> measure\n");
    expect_told(GOOD "[export a]\nread-only = no\n", GOOD "[export a]\n",
                "[export a] read-only: no -> as its upstream\n");
    expect_told(GOOD "[export a]\nread-only = no\n", GOOD "[export a]\nread-only =  no\n", "");
    expect_told(GOOD "[export a]\n", GOOD "[export a]\ndescription = x\nscratch = 0:64M\n",
                "[export a] scratch: nothing -> 0:64M\n[export a] description: nothing -> x\n");
}

Test(changes, no_odd_byte_is_told)
{
    expect_told(GOOD, GOOD "[export \xff\x1b]\nupstream = storage\n", "[export \\xff\\x1b]: new\n");
}

// Those of the table, whichever these are.
Test(changes, fixed_keys_keep_their_value)
{
    static const char *const others[CONFIG_KEYS] = {[KEY_THREADS] = "3",
                                                    [KEY_CONTROL_SOCKET] = "/x/y",
                                                    [KEY_STATE_DIR] = "/x",
                                                    [KEY_USER] = "root",
                                                    [KEY_GROUP] = "root"};
    unsigned fixed = 0;
    for (enum config_key_id id = 0; id < CONFIG_KEYS; id++) {
        const struct config_key *key = &config_keys[id];
        if (!key->fixed)
            continue;
        struct config_document docs[2] = {0};
        struct faults warnings = {0};
        char next[512];
        cr_assert_not_null(others[id], "%s: a test is missing", key->name);
        snprintf(next, sizeof next, "[proxy]\n%s = %s\n" GOOD, key->name, others[id]);
        read_both(GOOD, next, docs);
        *told = '\0';
        config_changes(&docs[0], &docs[1], &warnings, note, NULL);
        cr_expect_str_empty(told);
        cr_expect(has_warning(&warnings, 2, key->name) && has_warning(&warnings, 2, key->initial));
        faults_clear(&warnings);
        // The next reload compares with what is so, not with what was wished.
        const struct config_section *s = config_section_find(&docs[1], SECTION_PROXY, "");
        cr_expect_str_eq(s->values[id].text, key->initial);
        cr_expect_eq(s->values[id].number,
                     config_section_find(&docs[0], SECTION_PROXY, "")->values[id].number);
        config_document_clear(&docs[0]);
        config_document_clear(&docs[1]);
        fixed++;
    }
    cr_expect_eq(fixed, 5);
}

Test(changes, an_upstream_that_moved)
{
    struct config_document docs[2] = {0};
    read_both(
        "[upstream a]\nuri = nbd://a\n[upstream b]\nuri = nbd://b\n[upstream c]\nuri = nbd://c\n",
        "[upstream a]\nuri = nbd://a\nconnect-timeout = 1s\n[upstream b]\nuri = nbds://b\n"
        "[upstream d]\nuri = nbd://d\n",
        docs);
    cr_expect_not(config_upstream_moved(&docs[0], &docs[1], "a"));
    cr_expect(config_upstream_moved(&docs[0], &docs[1], "b"));
    cr_expect(config_upstream_moved(&docs[0], &docs[1], "d"));
    config_document_clear(&docs[0]);
    config_document_clear(&docs[1]);
}
