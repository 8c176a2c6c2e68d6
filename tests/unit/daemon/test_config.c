// SPDX-License-Identifier: BSD-3-Clause
// What sections mean together, and what of them arrives in the settings.
#include "rig.h"
#include <session/scratch.h>

#include <criterion/criterion.h>
#include <session/scratch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(config, defaults_are_those_of_the_manual)
{
    struct faults f = {0};
    struct config *c = config_of(GOOD, &f);
    cr_assert_not_null(c);
    cr_expect_eq(f.n, 0);
    cr_expect_eq(c->threads, 0);
    cr_expect_str_eq(c->control_socket, "/run/nbdzero/control.sock");
    cr_expect(!c->control_socket_given);
    cr_expect_eq(c->log_level, LOG_LEVEL_INFO);
    cr_expect_eq(c->max_connections, 10000);
    cr_expect_eq(c->drain_timeout, 30 * NS_PER_SEC);
    const struct settings *s = c->settings;
    cr_expect_str_eq(s->state_dir, "/var/lib/nbdzero");
    cr_expect_eq(s->limits.handshake_timeout, 10 * NS_PER_SEC);
    cr_expect_eq(s->limits.io_timeout, 60 * NS_PER_SEC);
    cr_expect_eq(s->limits.keepalive, 60 * NS_PER_SEC);
    cr_expect_eq(s->limits.max_in_flight, 128);
    cr_expect_eq(s->limits.max_in_flight_bytes, 64u << 20);
    cr_assert_eq(s->n_listeners, 1);
    cr_expect_str_eq(s->listeners[0].name, "main");
    cr_expect_eq(s->listeners[0].socket_mode, 0600);
    cr_expect_eq(s->listeners[0].upstream, &s->upstreams[0]);
    cr_expect_not_null(s->listeners[0].counters);
    cr_expect_not_null(s->upstreams[0].counters);
    const struct upstream_settings *u = &s->upstreams[0];
    cr_expect_eq(u->connect_timeout, 5 * NS_PER_SEC);
    cr_expect(!u->policy.read_only);
    cr_expect(!u->policy.repair);
    cr_expect_eq(u->policy.zero.policy, ZERO_MEASURE);
    cr_expect_float_eq(u->policy.zero.ratio, 0.30, 1e-9);
    cr_expect(u->policy.zero.probe);
    cr_expect_eq(u->policy.zero.probe_time, NS_PER_SEC);
    cr_expect_eq(u->policy.zero.probe_bytes, 32u << 20);
    cr_expect_eq(u->policy.zero.max_zero, 32u << 20);
    config_free(c);
}

Test(config, every_key_arrives)
{
    struct faults f = {0};
    struct config *c =
        config_of("[upstream u]\nuri = nbd+unix:///x?socket=/tmp/s\nconnect-timeout = 7s\n"
                  "read-only = yes\nfast-zero = never\nfast-zero-ratio = 0.25\nprobe = off\n"
                  "probe-time = 2s\nprobe-bytes = 8M\nmax-zero = 1M\n"
                  "[listen l]\naddress = unix:/tmp/l\nsocket-mode = 0666\nupstream = u\n"
                  "[proxy]\nthreads = 3\ncontrol-socket =\nstate-dir =\nlog-level = error\n"
                  "max-connections = 5\nhandshake-timeout = 1s\nio-timeout = 0\nkeepalive = 2s\n"
                  "max-in-flight = 9\nmax-in-flight-bytes = 33M\ndrain-timeout = 0\n",
                  &f);
    cr_assert_not_null(c);
    cr_expect_eq(f.n, 0);
    const struct settings *s = c->settings;
    const struct policy *p = &s->upstreams[0].policy;
    cr_expect_eq(c->threads, 3);
    cr_expect_str_eq(c->control_socket, "");
    cr_expect_eq(c->log_level, LOG_LEVEL_ERROR);
    cr_expect_eq(c->max_connections, 5);
    cr_expect_eq(c->drain_timeout, 0);
    cr_expect_str_eq(s->state_dir, "");
    cr_expect_eq(s->limits.handshake_timeout, NS_PER_SEC);
    cr_expect_eq(s->limits.io_timeout, 0);
    cr_expect_eq(s->limits.keepalive, 2 * NS_PER_SEC);
    cr_expect_eq(s->limits.max_in_flight, 9);
    cr_expect_eq(s->limits.max_in_flight_bytes, 33u << 20);
    cr_expect_eq(s->listeners[0].address.kind, ADDRESS_UNIX);
    cr_expect_eq(s->listeners[0].socket_mode, 0666);
    cr_expect_eq(s->upstreams[0].connect_timeout, 7 * NS_PER_SEC);
    cr_expect_eq(s->upstreams[0].uri.export_len, 1);
    cr_expect(p->read_only);
    cr_expect_eq(p->zero.policy, ZERO_NEVER);
    cr_expect_float_eq(p->zero.ratio, 0.25, 1e-9);
    cr_expect(!p->zero.probe);
    cr_expect_eq(p->zero.probe_time, 2 * NS_PER_SEC);
    cr_expect_eq(p->zero.probe_bytes, 8u << 20);
    cr_expect_eq(p->zero.max_zero, 1u << 20);
    config_free(c);
}

#define TWO                                                                                        \
    "[upstream a]\nuri = nbd://a\nfast-zero = off\n"                                               \
    "[upstream b]\nuri = nbd://b\nprobe = off\n"                                                   \
    "[listen a1]\naddress = 127.0.0.1:1\nupstream = a\n"                                           \
    "[listen a2]\naddress = 127.0.0.1:2\nupstream = a\n"                                           \
    "[listen b1]\naddress = 127.0.0.1:3\nupstream = b\n"
#define TWO_LINES 15

Test(config, an_export_takes_the_rest_from_its_upstream)
{
    struct faults f = {0};
    struct config *c = config_of(TWO "[export disk]\nread-only = yes\n", &f);
    cr_assert_not_null(c);
    const struct settings *s = c->settings;
    cr_assert_eq(s->n_exports, 2); // one for each upstream
    const struct export_settings *a = &s->exports[0], *b = &s->exports[1];
    cr_assert_eq(a->n_listeners, 2);
    cr_assert_eq(b->n_listeners, 1);
    cr_expect_str_eq(a->listeners[0]->name, "a1");
    cr_expect_str_eq(a->listeners[1]->name, "a2");
    cr_expect_str_eq(b->listeners[0]->name, "b1");
    cr_expect(a->policy.read_only && b->policy.read_only);
    cr_expect_eq(a->policy.zero.policy, ZERO_OFF);
    cr_expect_eq(b->policy.zero.policy, ZERO_MEASURE);
    cr_expect(a->policy.zero.probe && !b->policy.zero.probe);
    cr_expect(bytes_equal(a->name, bytes_str("disk")) && bytes_equal(b->name, bytes_str("disk")));
    config_free(c);
}

Test(config, an_export_overrides_with_a_default, .description = "given is given")
{
    struct faults f = {0};
    struct config *c = config_of(TWO "[export disk]\nlisten = b1\nprobe = auto\n", &f);
    cr_assert_not_null(c);
    cr_assert_eq(c->settings->n_exports, 1);
    cr_expect(c->settings->exports[0].policy.zero.probe);
    config_free(c);
}

// A name of the only section, as text; the empty name apart.
static void
expect_names(const char *section, struct bytes name, struct bytes upstream_name)
{
    struct faults f = {0};
    char text[512];
    snprintf(text, sizeof text, GOOD "%s", section);
    struct config *c = config_of(text, &f);
    cr_assert(c && c->settings->n_exports == 1, "%s", section);
    const struct export_settings *e = &c->settings->exports[0];
    cr_expect(bytes_equal(e->name, name), "%s", section);
    cr_expect(bytes_equal(e->upstream_name, upstream_name), "%s", section);
    cr_expect_eq(e->upstream, &c->settings->upstreams[0]);
    cr_expect_null(e->description.p);
    config_free(c);
}

Test(config, export_names)
{
    struct bytes none = {0}, d = bytes_str("d"), odd = bytes_str("a b\xff]");
    expect_names("[export \"\"]\n", none, none);
    expect_names("[export d]\n", d, d);
    expect_names("[export d]\nname =\nupstream-export =\n", d, d);
    expect_names("[export label]\nname = a%20b%ff%5d\n", odd, odd);
    expect_names("[export label]\nname = \"\"\n", none, none);
    expect_names("[export label]\nname = %22%22\n", bytes_str("\"\""), bytes_str("\"\""));
    expect_names("[export d]\nupstream-export = a%20b%ff%5d\n", d, odd);
    expect_names("[export d]\nupstream-export = \"\"\n", d, none);
    expect_only_fault(GOOD "[export x]\nname = 100%\n", GOOD_LINES + 2, "hexadecimal");
    expect_only_fault(GOOD "[export x]\nupstream-export = 100%\n", GOOD_LINES + 2,
                      "upstream-export: % and two hexadecimal");
    expect_only_fault(GOOD "[export x]\nname = a%00b\n", GOOD_LINES + 2, "%00 cannot be");
    expect_only_fault(GOOD "[export x]\nupstream-export = %00\n", GOOD_LINES + 2, "%00 cannot be");
}

Test(config, the_export_of_the_uri_replaces_an_empty_name)
{
    struct faults f = {0};
    struct config *c = config_of("[upstream u]\nuri = nbd://a/disk\n"
                                 "[listen l]\naddress = 127.0.0.1:1\nupstream = u\n"
                                 "[export \"\"]\n[export x]\nupstream-export = \"\"\n"
                                 "[export y]\n",
                                 &f);
    cr_assert_not_null(c);
    const struct export_settings *e = c->settings->exports;
    cr_assert_eq(c->settings->n_exports, 3);
    cr_expect_eq(e[0].name.len, 0);
    cr_expect(bytes_equal(e[0].upstream_name, bytes_str("disk")));
    cr_expect(bytes_equal(e[1].upstream_name, bytes_str("disk")));
    cr_expect(bytes_equal(e[2].upstream_name, bytes_str("y")));
    config_free(c);
}

Test(config, an_export_at_another_upstream)
{
    struct faults f = {0};
    struct config *c = config_of(TWO "[listen open]\naddress = 127.0.0.1:4\n"
                                     "[export x]\nlisten = a1 open\nupstream = b\n"
                                     "upstream-export = y\ndescription = the one ; and only\n"
                                     "[export z]\nupstream = a\n",
                                 &f);
    cr_assert_not_null(c);
    const struct settings *s = c->settings;
    cr_assert_eq(s->n_exports, 2);
    const struct export_settings *x = &s->exports[0], *z = &s->exports[1];
    cr_expect_eq(x->upstream, &s->upstreams[1]);
    cr_expect(!x->policy.zero.probe, "the rest comes from its upstream");
    cr_assert_eq(x->n_listeners, 2);
    cr_expect_str_eq(x->listeners[0]->name, "a1");
    cr_expect_str_eq(x->listeners[1]->name, "open");
    cr_expect(bytes_equal(x->upstream_name, bytes_str("y")));
    cr_expect(bytes_equal(x->description, bytes_str("the one")));
    // Without listen: all listeners whose upstream is the section's.
    cr_expect_eq(z->upstream, &s->upstreams[0]);
    cr_assert_eq(z->n_listeners, 2);
    cr_expect_str_eq(z->listeners[0]->name, "a1");
    cr_expect_str_eq(z->listeners[1]->name, "a2");
    cr_expect_null(s->listeners[3].upstream);
    config_free(c);
}

#define OPEN       TWO "[listen open]\naddress = 127.0.0.1:4\n"
#define OPEN_LINES (TWO_LINES + 2)

Test(config, sections_and_listeners_that_serve_nothing)
{
    expect_only_fault(OPEN, OPEN_LINES - 1, "[listen open] serves nothing");
    expect_only_fault(OPEN "[export x]\nupstream = a\n", OPEN_LINES - 1,
                      "[listen open] serves nothing");
    expect_only_fault(OPEN "[export x]\nlisten = open\n", OPEN_LINES + 2,
                      "[listen open] has no upstream, and [export x] names none");
    expect_only_fault(OPEN "[export x]\nlisten = a1 open\n", OPEN_LINES + 2, "upstream = NAME");
    expect_fine(OPEN "[export x]\nlisten = open\nupstream = a\n");
    expect_only_fault(TWO "[upstream c]\nuri = nbd://c\n[export x]\nupstream = c\n", TWO_LINES + 3,
                      "is for no listener, since none has that upstream");
    expect_only_fault("[upstream u]\nuri = nbd://a\n[listen l]\naddress = 127.0.0.1:1\n"
                      "[export x]\nlisten = l\nupstream = u\n[export y]\n",
                      8, "is for no listener, since none has an upstream");
    // One fault, not what follows from it, too.
    expect_only_fault(OPEN "[export x]\nlisten = open\nupstream = aa\n", OPEN_LINES + 3,
                      "no [upstream aa]");
    expect_only_fault("[upstream u]\nuri = nbd://a\n"
                      "[listen l]\naddress = 127.0.0.1:1\nupstream = v\n[export y]\n",
                      5, "no [upstream v]");
    expect_only_fault(TWO "[export x]\nlisten = a3\n", TWO_LINES + 2, "no [listen a3]");
}

Test(config, block_sizes)
{
    struct faults f = {0};
    struct config *c = config_of(GOOD "block-size = repair\n[export x]\nblock-size = pass\n"
                                      "[export y]\nread-only = yes\n",
                                 &f);
    cr_assert_not_null(c);
    cr_expect(c->settings->upstreams[0].policy.repair);
    cr_expect(!c->settings->exports[0].policy.repair);
    cr_expect(c->settings->exports[1].policy.repair);
    config_free(c);
    expect_only_fault(GOOD "block-size = 512\n", GOOD_LINES + 1, "pass or repair");
}

Test(config, exports_of_one_name)
{
    expect_fine(TWO "[export d]\nlisten = a1\n[export d]\nlisten = a2 b1\n");
    expect_only_fault(TWO "[export d]\nlisten = a1 b1\n[export d]\nlisten = a2 b1\n", TWO_LINES + 3,
                      "same name and listener");
    expect_only_fault(TWO "[export d]\n[export x]\nname = %64\n", TWO_LINES + 2,
                      "same name and listener");
    expect_only_fault(TWO "[export d]\nlisten = a1 a1\n", TWO_LINES + 2, "twice");
}

Test(config, names_that_nobody_defines)
{
    expect_only_fault("[upstream storage]\nuri = nbd://a\n"
                      "[listen l]\naddress = 127.0.0.1:1\nupstream = storag\n",
                      5, "did you mean \"storage\"");
    expect_only_fault(TWO "[export d]\nlisten = a1 zzz\n", TWO_LINES + 2, "[listen zzz]");
    // Sections may come in any order.
    expect_fine("[listen l]\naddress = 127.0.0.1:1\nupstream = u\n[upstream u]\nuri = nbd://a\n");
}

Test(config, what_must_be_given)
{
    expect_only_fault("[listen l]\nupstream = u\n[upstream u]\nuri = nbd://a\n", 1, "no address");
    expect_only_fault("[listen l]\naddress = 127.0.0.1:1\nupstream = u\n[upstream u]\n", 4,
                      "no uri");
    expect_only_fault("[upstream u]\nuri = nbd://a\n", 2, "no [listen NAME]");
    struct faults f = {0};
    cr_expect_null(config_of("", &f));
    cr_expect_eq(f.errors, 2);
    faults_clear(&f);
}

Test(config, addresses)
{
    expect_only_fault("[upstream u]\nuri = nbd://a\n[listen l]\naddress = nowhere\nupstream = u\n",
                      4, "address");
    expect_only_fault(GOOD "[listen b]\naddress = 127.0.0.1:10809\nupstream = storage\n",
                      GOOD_LINES + 2, "[listen main], too");
    expect_only_fault(GOOD "[listen b]\naddress = unix:/run/nbdzero/control.sock\n"
                           "upstream = storage\n",
                      GOOD_LINES + 2, "control-socket");
    expect_only_fault("[upstream u]\nuri = http://a\n"
                      "[listen l]\naddress = 127.0.0.1:1\nupstream = u\n",
                      2, "uri");
}

static void
not_yet(const char *listen, const char *upstream, const char *more, unsigned line)
{
    char text[1024];
    snprintf(text, sizeof text,
             "[listen l]\naddress = 127.0.0.1:1\nupstream = u\n%s[upstream u]\nuri = nbd://a\n%s%s",
             listen, upstream, more);
    expect_only_fault(text, line, "not yet supported");
}

Test(config, not_yet_supported)
{
    not_yet("", "reconnect-timeout = 5s\n", "", 6);
}

Test(config, systemd_names)
{
    expect_fine("[listen l]\naddress = systemd:x.socket\nupstream = u\n"
                "[upstream u]\nuri = nbd://a\n");
    expect_only_fault(
        "[listen l]\naddress = systemd:a:b\nupstream = u\n[upstream u]\nuri = nbd://a\n", 2,
        "FileDescriptorName");
}

Test(config, metrics_listen)
{
    struct faults f = {0};
    struct config *c = config_of(GOOD "[proxy]\nmetrics-listen = [::1]:9809\n", &f);
    cr_assert(c && c->has_metrics);
    cr_expect_str_eq(c->metrics.host, "::1");
    cr_expect_str_eq(c->metrics.port, "9809");
    config_free(c);
    faults_clear(&f);
    expect_only_fault(GOOD "[proxy]\nmetrics-listen = unix:/m\n", 7, "[v6]:port would be right");
    expect_only_fault(GOOD "[proxy]\nmetrics-listen = 9809\n", 7, "metrics-listen: ");
}

Test(config, defaults_that_are_written_out_are_fine)
{
    expect_fine(GOOD "tls-certificates =\ntls-psk-file =\ntls-hostname =\n"
                     "reconnect-timeout = 0s\nscratch =\nwrite-zeroes = pass\n"
                     "[proxy]\nmetrics-listen =\n");
    expect_fine(GOOD "reconnect-timeout = 0\n");
}

Test(config, scratch_ranges)
{
    struct faults f = {0};
    struct config *c = config_of(TWO "[export x]\nscratch = 1M:8M\n"
                                     "[upstream s]\nuri = nbd://s/disk\nscratch = 64K:4M\n"
                                     "scratch-export = a%20b\n"
                                     "[listen s]\naddress = 127.0.0.1:9\nupstream = s\n"
                                     "[export y]\nlisten = s\n[export z]\nlisten = s\n"
                                     "scratch = 0:64M\n",
                                 &f);
    cr_assert_not_null(c);
    const struct settings *s = c->settings;
    const struct upstream_settings *u = &s->upstreams[2];
    cr_expect(u->scratch.given && u->scratch.elsewhere);
    cr_expect(bytes_equal(u->scratch.holder, bytes_str("a b")));
    cr_expect_eq(u->scratch.range.offset, 64 << 10);
    cr_expect_eq(u->scratch.range.length, 4 << 20);
    char line[600], all[2400] = "";
    for (unsigned at = 0; scratch_line(s, &at, line, sizeof line);)
        strcat(strcat(all, line), "\n");
    // x is one export at each upstream, and a's fast-zero is off; y has what its upstream has.
    cr_expect_str_eq(
        all,
        "scratch 65536:4194304 of export \"a b\" of [upstream s]: may be overwritten at any time\n"
        "scratch 1048576:8388608 of export \"x\" of [upstream b]: may be overwritten at any time\n"
        "scratch 1048576:8388608 of export \"x\" of [upstream s]: may be overwritten at any time\n"
        "scratch 0:67108864 of export \"z\" of [upstream s]: may be overwritten at any time\n");
    const struct export_settings *y = &s->exports[s->n_exports - 2];
    cr_expect(y->scratch.elsewhere && !y->scratch.given);
    cr_expect(bytes_equal(y->scratch.holder, bytes_str("a b")));
    const struct export_settings *z = &s->exports[s->n_exports - 1];
    cr_expect(!z->scratch.elsewhere && z->scratch.given);
    cr_expect(scratch_wanted(s));
    config_free(c);
    faults_clear(&f);
}

Test(config, scratch_faults)
{
    expect_only_fault(GOOD "scratch = 0:1M\n", GOOD_LINES + 1, "4M or more");
    expect_only_fault(GOOD "scratch = 1K:8M\n", GOOD_LINES + 1, "multiples of 64K");
    expect_only_fault(GOOD "scratch = 64M\n", GOOD_LINES + 1, "wrong form");
    expect_only_fault(GOOD "scratch = 8191P:8M\n", GOOD_LINES + 1, "wrong form");
    expect_only_fault(GOOD "scratch = 8388608T:8M\n", GOOD_LINES + 1, "out of range");
    expect_only_fault(GOOD "scratch-export = x\n", GOOD_LINES + 1, "which range of it");
    expect_only_fault(GOOD "scratch = 0:8M\nscratch-export = %zz\n", GOOD_LINES + 2, "hexadecimal");
    expect_only_fault(GOOD "read-only = yes\nscratch = 0:8M\n", GOOD_LINES + 2, "is read-only");
    expect_only_fault(GOOD "[export x]\nread-only = yes\nscratch = 0:8M\n", GOOD_LINES + 3,
                      "is read-only");
    struct faults f = {0};
    struct config *c = config_of(GOOD "scratch = 0:8M\nfast-zero = never\n", &f);
    cr_assert_not_null(c);
    cr_expect_eq(f.n, 1);
    cr_expect_not_null(strstr(f.list[0].text, "nothing is measured in it"));
    cr_expect_not(scratch_wanted(c->settings));
    config_free(c);
    faults_clear(&f);
}

Test(config, counters_are_carried_over_by_name)
{
    struct faults f = {0};
    struct config *old = config_of(TWO, &f), *new;
    struct config_document doc = {0};
    const char *text = "[upstream b]\nuri = nbd://c\n[upstream c]\nuri = nbd://d\n"
                       "[listen c1]\naddress = 127.0.0.1:4\nupstream = c\n"
                       "[listen a2]\naddress = 127.0.0.1:2\nupstream = b\n";
    cr_assert_not_null(old);
    config_document_parse(&doc, text, strlen(text), &f);
    new = config_of_document(&doc, old, &f);
    config_document_clear(&doc);
    cr_assert_not_null(new);
    const struct settings *before = old->settings, *after = new->settings;
    cr_expect_eq(after->listeners[1].counters, before->listeners[1].counters);
    cr_expect_eq(after->upstreams[0].counters, before->upstreams[1].counters);
    for (unsigned i = 0; i < before->n_listeners; i++)
        cr_expect_neq(after->listeners[0].counters, before->listeners[i].counters);
    for (unsigned i = 0; i < before->n_upstreams; i++)
        cr_expect_neq(after->upstreams[1].counters, before->upstreams[i].counters);
    // A session of before that is still there counts on where it has begun.
    struct listener_counters *gone = before->listeners[0].counters;
    config_free(old);
    atomic_fetch_add(&gone->active, 1);
    cr_expect_eq(atomic_load(&gone->active), 1);
    config_free(new);
}

Test(config, warnings_stop_nothing)
{
    struct faults f = {0};
    struct config *c = config_of(GOOD "fast-zero = always\n[export e]\nfast-zero = always\n"
                                      "[export g]\nmax-zero = 128M\n",
                                 &f);
    cr_assert_not_null(c);
    cr_expect_eq(f.errors, 0);
    cr_expect_eq(f.n, 3);
    cr_expect(has_warning(&f, GOOD_LINES + 1, "[upstream storage]"));
    cr_expect(has_warning(&f, GOOD_LINES + 3, "[export e]"));
    cr_expect(has_warning(&f, GOOD_LINES + 5, "64M"));
    config_free(c);
    faults_clear(&f);
    expect_only_fault(GOOD "max-zero = 65K\n", GOOD_LINES + 1, "multiple of 64K");
}

Test(config, all_faults_are_told_in_the_order_of_lines)
{
    struct faults f = {0};
    cr_expect_null(config_of("[listen l]\naddress = bogus\nupstream = none\ntls = on\n"
                             "[upstream u]\nuri = ftp://x\nprobe-time = 1\n[proxy]\nthreads = -1\n",
                             &f));
    cr_expect_eq(f.errors, 6);
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    faults_print(&f, "a.conf", out);
    fclose(out);
    const char *at = text;
    const unsigned lines[] = {2, 3, 4, 6, 7, 9};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char begin[32];
        snprintf(begin, sizeof begin, "a.conf:%u: ", lines[i]);
        cr_assert(strncmp(at, begin, strlen(begin)) == 0, "%s", at);
        at = strchr(at, '\n') + 1;
    }
    cr_expect_str_eq(at, "");
    free(text);
    faults_clear(&f);
}
