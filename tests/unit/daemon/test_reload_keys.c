// SPDX-License-Identifier: BSD-3-Clause
// Every key of the table: another value is told by a reload and is in what new connections get, or
// is named as needing a restart. A key without a row here fails.
#include "config_changes.h"
#include "rig.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The lines of the section with the key, or other lines where these alone are no configuration.
static const struct {
    const char *other;
    enum section_kind in;
    bool needs_files; // of certificates: tests/peers/test_reload.py
} rows[CONFIG_KEYS] = {
    [KEY_THREADS] = {"3", SECTION_PROXY},
    [KEY_CONTROL_SOCKET] = {"/run/b", SECTION_PROXY},
    [KEY_CONTROL_SOCKET_MODE] = {"0666", SECTION_PROXY},
    [KEY_CONTROL_SOCKET_GROUP] = {"4242", SECTION_PROXY},
    [KEY_USER] = {"root", SECTION_PROXY},
    [KEY_GROUP] = {"4242\nuser = root", SECTION_PROXY},
    [KEY_STATE_DIR] = {"/x", SECTION_PROXY},
    [KEY_METRICS_LISTEN] = {"127.0.0.1:9", SECTION_PROXY},
    [KEY_LOG_LEVEL] = {"error", SECTION_PROXY},
    [KEY_MAX_CONNECTIONS] = {"7", SECTION_PROXY},
    [KEY_MAX_PER_CLIENT] = {"7", SECTION_PROXY},
    [KEY_HANDSHAKE_TIMEOUT] = {"7s", SECTION_PROXY},
    [KEY_IO_TIMEOUT] = {"7s", SECTION_PROXY},
    [KEY_KEEPALIVE] = {"7s", SECTION_PROXY},
    [KEY_MAX_IN_FLIGHT] = {"7", SECTION_PROXY},
    [KEY_MAX_IN_FLIGHT_BYTES] = {"7M", SECTION_PROXY},
    [KEY_DRAIN_TIMEOUT] = {"7s", SECTION_PROXY},
    [KEY_UPGRADE_TIMEOUT] = {"7s", SECTION_PROXY},
    [KEY_LISTEN_ADDRESS] = {"127.0.0.1:7", SECTION_LISTEN},
    [KEY_LISTEN_SOCKET_MODE] = {"0666", SECTION_LISTEN},
    [KEY_LISTEN_ALLOW] = {"10.0.0.0/8", SECTION_LISTEN},
    [KEY_LISTEN_UPSTREAM] = {"second", SECTION_LISTEN},
    [KEY_LISTEN_TLS] = {.needs_files = true},
    [KEY_LISTEN_TLS_CERTIFICATES] = {.needs_files = true},
    [KEY_LISTEN_TLS_PSK_FILE] = {.needs_files = true},
    [KEY_LISTEN_TLS_VERIFY_PEER] = {.needs_files = true},
    [KEY_LISTEN_TLS_ALLOW] = {.needs_files = true},
    [KEY_TLS_CIPHERS] = {.needs_files = true},
    [KEY_UPSTREAM_URI] = {"nbd://127.0.0.1:7", SECTION_UPSTREAM},
    [KEY_UPSTREAM_TLS_CERTIFICATES] = {.needs_files = true},
    [KEY_UPSTREAM_TLS_PSK_FILE] = {.needs_files = true},
    [KEY_UPSTREAM_TLS_HOSTNAME] = {.needs_files = true},
    [KEY_UPSTREAM_TLS_VERIFY_PEER] = {.needs_files = true},
    [KEY_UPSTREAM_CONNECT_TIMEOUT] = {"7s", SECTION_UPSTREAM},
    [KEY_UPSTREAM_RECONNECT_TIMEOUT] = {.needs_files = true}, // only_default: checked below
    [KEY_READ_ONLY] = {"yes", SECTION_UPSTREAM},
    [KEY_BLOCK_SIZE] = {"repair", SECTION_UPSTREAM},
    [KEY_FAST_ZERO] = {"never", SECTION_UPSTREAM},
    [KEY_FAST_ZERO_RATIO] = {"0.50", SECTION_UPSTREAM},
    [KEY_PROBE] = {"off", SECTION_UPSTREAM},
    [KEY_PROBE_TIME] = {"7s", SECTION_UPSTREAM},
    [KEY_PROBE_BYTES] = {"7M", SECTION_UPSTREAM},
    [KEY_SCRATCH] = {"1M:64M", SECTION_UPSTREAM},
    [KEY_SCRATCH_EXPORT] = {"other\nscratch = 0:64M", SECTION_UPSTREAM},
    [KEY_MAX_ZERO] = {"1M", SECTION_UPSTREAM},
    [KEY_WRITE_ZEROES] = {"cheapest", SECTION_UPSTREAM},
    [KEY_EXPORT_NAME] = {"b", SECTION_EXPORT},
    [KEY_EXPORT_LISTEN] = {"main", SECTION_EXPORT},
    [KEY_EXPORT_UPSTREAM] = {"second\nlisten = main", SECTION_EXPORT},
    [KEY_EXPORT_UPSTREAM_EXPORT] = {"b", SECTION_EXPORT},
    [KEY_EXPORT_DESCRIPTION] = {"b", SECTION_EXPORT},
};

// A configuration in which the key's section has the line.
static char *
text_with(enum config_key_id id, const char *value)
{
    static const char *const heads[SECTION_KINDS] = {
        [SECTION_PROXY] = "[proxy]\n",
        [SECTION_LISTEN] = "[listen main]\n",
        [SECTION_UPSTREAM] = "[upstream storage]\n",
        [SECTION_EXPORT] = "[export a]\n",
    };
    static const struct {
        enum config_key_id id;
        enum section_kind in;
        const char *line;
    } basic[] = {
        {KEY_CONTROL_SOCKET, SECTION_PROXY, "control-socket = /run/a\n"},
        {KEY_LISTEN_ADDRESS, SECTION_LISTEN, "address = unix:/run/nbd\n"},
        {KEY_LISTEN_UPSTREAM, SECTION_LISTEN, "upstream = storage\n"},
        {KEY_UPSTREAM_URI, SECTION_UPSTREAM, "uri = nbd://127.0.0.1:10810\n"},
        {KEY_EXPORT_UPSTREAM, SECTION_EXPORT, "upstream = storage\n"},
    };
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    for (enum section_kind kind = 0; kind < SECTION_KINDS; kind++) {
        fputs(heads[kind], out);
        for (size_t i = 0; i < sizeof basic / sizeof *basic; i++) {
            bool tcp = basic[i].id == KEY_LISTEN_ADDRESS && id == KEY_LISTEN_ALLOW;
            if (basic[i].in == kind && (basic[i].id != id || !value))
                fputs(tcp ? "address = 127.0.0.1:8\n" : basic[i].line, out);
        }
        if (value && rows[id].in == kind)
            fprintf(out, "%s = %s\n", config_keys[id].name, value);
    }
    fputs("[upstream second]\nuri = nbd://127.0.0.1:10811\n[listen more]\naddress = "
          "127.0.0.1:9999\nupstream = storage\n",
          out);
    fclose(out);
    return text;
}

static void
write_policy(FILE *out, const struct policy *p)
{
    const unsigned char *z = (const unsigned char *)&p->zero;
    fprintf(out, "policy %d %d ", p->read_only, p->repair);
    for (size_t i = 0; i < sizeof p->zero; i++)
        fprintf(out, "%02x", z[i]);
    fputc('\n', out);
}

static void
write_scratch(FILE *out, const struct scratch_settings *s)
{
    fprintf(out, "scratch %d %d %llu %llu %.*s\n", s->given, s->elsewhere,
            (unsigned long long)s->range.offset, (unsigned long long)s->range.length,
            (int)s->holder.len, (const char *)s->holder.p);
}

static void
write_sections(FILE *out, const struct settings *s)
{
    char text[ADDRESS_TEXT];
    for (unsigned i = 0; i < s->n_listeners; i++) {
        const struct listener_settings *l = &s->listeners[i];
        fprintf(out, "%s %s %o %s\n", l->name, address_text(&l->address, text, sizeof text),
                l->socket_mode, l->upstream->name);
        for (unsigned n = 0; n < l->n_allow; n++)
            fprintf(out, "%s\n", network_text(&l->allow[n], text, sizeof text));
    }
    for (unsigned i = 0; i < s->n_upstreams; i++) {
        const struct upstream_settings *u = &s->upstreams[i];
        fprintf(out, "%s %s %llu\n", u->name, u->uri.address.port,
                (unsigned long long)u->connect_timeout);
        write_policy(out, &u->policy);
        write_scratch(out, &u->scratch);
    }
    for (unsigned i = 0; i < s->n_exports; i++) {
        const struct export_settings *e = &s->exports[i];
        fprintf(out, "%.*s %.*s %.*s %s %u\n", (int)e->name.len, (const char *)e->name.p,
                (int)e->upstream_name.len, (const char *)e->upstream_name.p,
                (int)e->description.len, (const char *)e->description.p, e->upstream->name,
                e->n_listeners);
        write_policy(out, &e->policy);
    }
}

// All that a process takes from a configuration when it reloads, in words.
static char *
effect_of(const char *text)
{
    struct faults f = {0};
    struct config *c = config_of(text, &f);
    cr_assert_not_null(c, "%s\n%s", f.n ? f.list[0].text : "", text);
    const struct limits *l = &c->settings->limits;
    char *words;
    size_t len;
    FILE *out = open_memstream(&words, &len);
    fprintf(out, "%o %ld %d %s %d %u %u %llu\n", c->control_mode, (long)c->control_group,
            c->has_metrics, c->metrics.port, (int)c->log_level, c->max_connections,
            c->max_per_client, (unsigned long long)c->drain_timeout);
    fprintf(out, "%llu\n", (unsigned long long)c->upgrade_timeout);
    fprintf(out, "%llu %llu %llu %u %llu\n", (unsigned long long)l->handshake_timeout,
            (unsigned long long)l->io_timeout, (unsigned long long)l->keepalive, l->max_in_flight,
            (unsigned long long)l->max_in_flight_bytes);
    write_sections(out, c->settings);
    fclose(out);
    config_free(c);
    faults_clear(&f);
    return words;
}

static unsigned told;
static const char *expected;

static void
note(void *ctx, const char *line)
{
    told += strstr(line, expected) != NULL;
}

static void
check_told(const struct config_key *key, const char *before, const char *after)
{
    struct config_document docs[2] = {0};
    struct faults f = {0};
    char restart[64];
    config_document_parse(&docs[0], before, strlen(before), &f);
    config_document_parse(&docs[1], after, strlen(after), &f);
    cr_assert_eq(f.errors, 0);
    told = 0;
    expected = key->name;
    config_changes(&docs[0], &docs[1], &f, note, NULL);
    snprintf(restart, sizeof restart, "%s = ", key->name);
    unsigned named = 0;
    for (size_t i = 0; i < f.n; i++)
        named += strncmp(f.list[i].text, restart, strlen(restart)) == 0 &&
                 strstr(f.list[i].text, "needs a restart");
    cr_expect_eq(named, key->fixed ? 1 : 0, "%s", key->name);
    cr_expect(key->fixed ? told == 0 : told >= 1, "%s: told %u times", key->name, told);
    faults_clear(&f);
    config_document_clear(&docs[0]);
    config_document_clear(&docs[1]);
}

Test(reload_keys, each_takes_effect_or_needs_a_restart)
{
    for (enum config_key_id id = 0; id < CONFIG_KEYS; id++) {
        const struct config_key *key = &config_keys[id];
        if (rows[id].needs_files)
            continue;
        cr_assert_not_null(rows[id].other, "%s: a row is missing", key->name);
        char *before = text_with(id, NULL), *after = text_with(id, rows[id].other);
        check_told(key, before, after);
        char *old = effect_of(before), *new = effect_of(after);
        cr_expect(key->fixed || strcmp(old, new) != 0, "%s has no effect:\n%s", key->name, new);
        free(before);
        free(after);
        free(old);
        free(new);
    }
}

// Those of files are told, too; that they take effect is shown with real handshakes elsewhere.
Test(reload_keys, of_files_are_told)
{
    for (enum config_key_id id = 0; id < CONFIG_KEYS; id++) {
        const struct config_key *key = &config_keys[id];
        if (!rows[id].needs_files)
            continue;
        bool in_listen = config_key_in(id, SECTION_LISTEN);
        const char *value = key->type == VALUE_BOOL ? strcmp(key->initial, "no") ? "no" : "yes"
                            : key->choices[0]       ? "require"
                            : key->only_default     ? "0s"
                                                    : "/x";
        char before[300], after[400];
        snprintf(before, sizeof before, "%s",
                 in_listen ? "[listen main]\n" : "[upstream storage]\n");
        snprintf(after, sizeof after, "%s%s = %s\n", before, key->name, value);
        if (!key->only_default)
            check_told(key, before, after);
    }
}
