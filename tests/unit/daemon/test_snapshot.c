// SPDX-License-Identifier: BSD-3-Clause
// Every key that users may rely on, and where its value comes from.
#include "pki.h"
#include "rig.h"
#include "snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <session/health.h>
#include <stdlib.h>
#include <string.h>
#include <wire/nbd.h>

#define NOW (1000 * NS_PER_SEC)

static struct export_counters *part_a, *part_b;
static struct worker_report reports[2];
static struct connection_row rows[2];
static struct export_part parts[2];
static struct histogram latency;
static uint64_t packed[4096];
static struct export_description described;
static struct config *config;
static json_t *json;

static void
fill_counters(void)
{
    part_a = &parts[0].counters;
    part_b = &parts[1].counters;
    part_a->fast_zero.requests = 10;
    part_b->fast_zero.requests = 5;
    part_a->fast_zero.forwarded = 3;
    part_b->fast_zero.refused = 4;
    part_b->fast_zero.already_zero = 2;
    part_a->probes.run = 2;
    part_a->probes.fast = 1;
    part_b->probes.slow = 1;
    part_a->probes.bytes = 12345;
    part_a->probes.time = 1500 * NS_PER_US;
    part_a->commands[COUNT_READ] = (struct command_counters){.count = 100, .bytes = 4096};
    part_b->commands[COUNT_READ] = (struct command_counters){.count = 1, .bytes = 1, .errors = 1};
    for (unsigned i = 1; i <= 100; i++)
        histogram_add(&latency, i * NS_PER_MS);
    histogram_pack(&latency, packed);
    part_a->endings[REQUEST_DONE] = 90;
    part_b->endings[REQUEST_DONE] = 4;
    part_b->endings[REQUEST_NOT_FAST] = 5;
    part_a->errors[COUNT_ENOTSUP] = 6;
    part_b->translations = 3;
    part_a->learning.operations = 8;
    part_a->probes.reasons[PROBE_WHY_CHEAP] = 1;
}

static void
fill_description(void)
{
    described = (struct export_description){.serial = 7,
                                            .upstream = "storage",
                                            .name = "disk",
                                            .size = UINT64_C(1) << 30,
                                            .upstream_flags = NBD_FLAG_SEND_FAST_ZERO | 1,
                                            .advertised_flags = 0x8ff,
                                            .policy = ZERO_TRUST,
                                            .connections = 1,
                                            .demotions = {[DEMOTED_BY_TRAFFIC] = 2},
                                            .n_rows = {1, 1}};
    described.rows[0][0] = (struct zero_row){.bytes_from = 65536,
                                             .bytes_to = 131072,
                                             .verdict = ZERO_FAST,
                                             .source = ZERO_FROM_PROBE,
                                             .since = NOW - 7 * NS_PER_SEC,
                                             .ratio = 0.25,
                                             .samples = 9};
    described.rows[1][0] = (struct zero_row){.bytes_from = 1 << 24,
                                             .bytes_to = UINT64_MAX,
                                             .verdict = ZERO_UNKNOWN,
                                             .source = ZERO_FROM_NOTHING,
                                             .ratio = -1};
}

static void
take_snapshot(void)
{
    static const char *const addresses[] = {"127.0.0.1:4711", "[::1]:4712", "[::1]:4713",
                                            "[::1]:4714"};
    struct faults f = {0};
    char text[1024];
    pki_open();
    snprintf(text, sizeof text,
             GOOD "[export disk]\nlisten = main\nread-only = yes\n"
                  "[export later]\nlisten = main\nfast-zero = off\n"
                  "[listen open]\naddress = [::1]:4712\n"
                  "[export renamed]\nlisten = open\nupstream = storage\n"
                  "upstream-export = later\n"
                  "[listen secret]\naddress = [::1]:4713\nupstream = vault\ntls = require\n"
                  "tls-certificates = %s\n"
                  "[upstream vault]\nuri = nbds://localhost?tls-certificates=%s\n"
                  "[listen shared]\naddress = [::1]:4714\nupstream = vault\ntls = allow\n"
                  "tls-psk-file = %s\n",
             pki.dir, pki.dir, pki.psk);
    config = config_of(text, &f);
    cr_assert_not_null(config);
    faults_clear(&f);
    fill_counters();
    fill_description();
    rows[0] = (struct connection_row){.id = 7,
                                      .client = "127.0.0.1:40000",
                                      .listener = "main",
                                      .upstream = "storage",
                                      .export = "disk",
                                      .transmission = true,
                                      .since = NOW - 90 * NS_PER_SEC,
                                      .in_flight = 3,
                                      .bytes_from_client = 11,
                                      .bytes_to_client = 22};
    rows[1] = (struct connection_row){
        .id = 8,
        .client_tls = {.version = "TLSv1.3", .cipher = "TLS_AES_128_GCM_SHA256", .peer = "alice"},
        .upstream_tls = {.version = "TLSv1.2", .cipher = "ECDHE-ECDSA-AES256-GCM-SHA384"}};
    for (unsigned i = 0; i < 2; i++) {
        parts[i].export = described.serial;
        reports[i] = (struct worker_report){.exports = &parts[i], .n_exports = 1, .memory = 1000};
    }
    parts[0].used[COUNT_READ] = true;
    reports[0].packed = packed;
    reports[0].connections = rows;
    reports[0].n_connections = 2;
    reports[0].endings[END_CLIENT_DISC] = 2;
    reports[1].endings[END_CLIENT_DISC] = 3;
    struct listener_counters *counters = config->settings->listeners[0].counters;
    atomic_store(&counters->accepted, 6);
    atomic_store(&counters->active, 1);
    atomic_store(&counters->refused, 4);
    atomic_store(&config->settings->upstreams[0].counters->reached, 12);
    atomic_store(&config->settings->upstreams[1].counters->failed, 13);
    upstream_note(&config->settings->upstreams[1], UPSTREAM_UNREACHED);
    static const struct control_counts control = {.conversations = 1,
                                                  .requests = 12,
                                                  .changes = 3,
                                                  .denied = 4,
                                                  .malformed = 5,
                                                  .refused = 6};
    struct snapshot s = {.unix_now = 1700000000,
                         .ring_now = NOW,
                         .started = NOW - 600 * NS_PER_SEC,
                         .threads = 2,
                         .max_connections = 50,
                         .settings = config->settings,
                         .addresses = addresses,
                         .reports = reports,
                         .n_reports = 2,
                         .exports = &described,
                         .n_exports = 1,
                         .memory = 500,
                         .resident = 4096,
                         .log = {.dropped = 8, .suppressed = 9},
                         .control = &control,
                         .state = {.restored = 2,
                                   .dropped = 3,
                                   .damaged = 4,
                                   .unsaved = 5,
                                   .failures = 6,
                                   .error = ENOSPC},
                         .state_dropped = 10};
    json = snapshot_json(&s);
    cr_assert_not_null(json);
}

static void
free_snapshot(void)
{
    json_decref(json);
    config_free(config);
    pki_close();
}

TestSuite(snapshot, .init = take_snapshot, .fini = free_snapshot);

// By a path like "exports/0/size".
static json_t *
at(const char *path)
{
    json_t *j = json;
    char copy[128], *rest;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *p = strtok_r(copy, "/", &rest); p; p = strtok_r(NULL, "/", &rest)) {
        json_t *next =
            json_is_array(j) ? json_array_get(j, strtoul(p, NULL, 10)) : json_object_get(j, p);
        cr_assert_not_null(next, "no %s of %s", p, path);
        j = next;
    }
    return j;
}

#define NUMBER(path, n)                                                                            \
    cr_expect(json_is_integer(at(path)) && json_integer_value(at(path)) == (n), "%s is %lld",      \
              path, (long long)json_integer_value(at(path)))
#define TEXT(path, s) cr_expect_str_eq(json_string_value(at(path)), s)
#define NOTHING(path) cr_expect(json_is_null(at(path)), "%s", path)

Test(snapshot, process)
{
    TEXT("version", NBDZERO_VERSION);
    cr_expect_gt(json_integer_value(at("pid")), 0);
    NUMBER("uptime_s", 600);
    NUMBER("threads", 2);
    NUMBER("max_connections", 50);
    NUMBER("endings/client-disc", 5);
    NUMBER("endings/upstream-lost", 0);
    NUMBER("memory/buffers", 2500);
    NUMBER("log/lines_dropped", 8);
    NUMBER("log/lines_suppressed", 9);
}

Test(snapshot, what_it_remembers)
{
    TEXT("state/dir", "/var/lib/nbdzero");
    NUMBER("state/restored", 2);
    NUMBER("state/dropped", 13);
    NUMBER("state/damaged", 4);
    NUMBER("state/unsaved", 5);
    NUMBER("state/save_failures", 6);
    TEXT("state/error", "No space left on device");
}

Test(snapshot, what_it_is_told)
{
    TEXT("log/level", "info");
    NUMBER("control/conversations", 1);
    NUMBER("control/requests", 12);
    NUMBER("control/changes", 3);
    NUMBER("control/denied", 4);
    NUMBER("control/malformed", 5);
    NUMBER("control/refused", 6);
}

Test(snapshot, listeners)
{
    TEXT("listeners/0/name", "main");
    TEXT("listeners/0/address", "127.0.0.1:4711");
    NOTHING("listeners/0/tls");
    NUMBER("listeners/0/accepted", 6);
    NUMBER("listeners/0/active", 1);
    NUMBER("listeners/0/refused", 4);
    TEXT("listeners/0/upstream", "storage");
    TEXT("listeners/1/name", "open");
    NOTHING("listeners/1/upstream");
    TEXT("listeners/2/tls", "require");
    TEXT("listeners/3/tls", "allow");
}

Test(snapshot, upstreams)
{
    cr_assert_eq(json_array_size(at("upstreams")), 2);
    TEXT("upstreams/0/name", "storage");
    cr_expect(json_is_false(at("upstreams/0/tls")));
    NUMBER("upstreams/0/reached", 12);
    NUMBER("upstreams/0/failed", 0);
    cr_expect(json_is_false(at("upstreams/0/down")));
    TEXT("upstreams/1/name", "vault");
    cr_expect(json_is_true(at("upstreams/1/tls")));
    NUMBER("upstreams/1/reached", 0);
    NUMBER("upstreams/1/failed", 13);
    cr_expect(json_is_true(at("upstreams/1/down")));
}

// Seconds since 1970 of a certificate's end.
static long long
end_of(const struct identity *i)
{
    struct tm tm;
    cr_assert_eq(ASN1_TIME_to_tm(X509_get0_notAfter(i->cert), &tm), 1);
    return (long long)timegm(&tm);
}

Test(snapshot, certificates)
{
    // A PSK has no end, and no row.
    cr_assert_eq(json_array_size(at("certificates")), 2);
    TEXT("certificates/0/owner", "listen secret");
    TEXT("certificates/0/file", "server-cert.pem");
    NUMBER("certificates/0/not_after", end_of(&pki.server));
    NOTHING("certificates/0/warning");
    TEXT("certificates/1/owner", "upstream vault");
    // The CA and what it has signed end at the same moment, or nearly so.
    long long end = json_integer_value(at("certificates/1/not_after"));
    cr_expect(end == end_of(&pki.ca) || end == end_of(&pki.alice), "%lld", end);
}

Test(snapshot, connections)
{
    cr_assert_eq(json_array_size(at("connections")), 2);
    NUMBER("connections/0/id", 7);
    TEXT("connections/0/client", "127.0.0.1:40000");
    TEXT("connections/0/listener", "main");
    TEXT("connections/0/upstream", "storage");
    TEXT("connections/0/export", "disk");
    NOTHING("connections/0/tls");
    NOTHING("connections/0/upstream_tls");
    NUMBER("connections/0/since", 1700000000 - 90);
    NUMBER("connections/0/in_flight", 3);
    NUMBER("connections/0/bytes_from_client", 11);
    NUMBER("connections/0/bytes_to_client", 22);
    TEXT("connections/1/tls/version", "TLSv1.3");
    TEXT("connections/1/tls/cipher", "TLS_AES_128_GCM_SHA256");
    TEXT("connections/1/tls/peer", "alice");
    TEXT("connections/1/upstream_tls/version", "TLSv1.2");
    TEXT("connections/1/upstream_tls/cipher", "ECDHE-ECDSA-AES256-GCM-SHA384");
    TEXT("connections/1/upstream_tls/peer", "");
}

Test(snapshot, an_export_that_was_seen)
{
    TEXT("exports/0/upstream", "storage");
    TEXT("exports/0/export", "disk");
    NUMBER("exports/0/size", 1 << 30);
    NUMBER("exports/0/upstream_flags", NBD_FLAG_SEND_FAST_ZERO | 1);
    NUMBER("exports/0/advertised_flags", 0x8ff);
    TEXT("exports/0/fast_zero/policy", "trust");
    cr_expect(json_is_true(at("exports/0/fast_zero/upstream_advertised")));
    NUMBER("exports/0/fast_zero/requests", 15);
    NUMBER("exports/0/fast_zero/forwarded", 3);
    NUMBER("exports/0/fast_zero/refused", 4);
    NUMBER("exports/0/fast_zero/already_zero", 2);
    NUMBER("exports/0/probes/run", 2);
    NUMBER("exports/0/probes/fast", 1);
    NUMBER("exports/0/probes/slow", 1);
    NUMBER("exports/0/probes/undecided", 0);
    NUMBER("exports/0/probes/bytes", 12345);
    NUMBER("exports/0/probes/time_ms", 2);
}

Test(snapshot, verdicts)
{
    cr_assert_eq(json_array_size(at("exports/0/verdicts")), 2);
    cr_expect(json_is_false(at("exports/0/verdicts/0/no_hole")));
    NUMBER("exports/0/verdicts/0/bytes_from", 65536);
    NUMBER("exports/0/verdicts/0/bytes_to", 131072);
    TEXT("exports/0/verdicts/0/verdict", "fast");
    TEXT("exports/0/verdicts/0/source", "probe");
    NUMBER("exports/0/verdicts/0/age_s", 7);
    cr_expect_float_eq(json_real_value(at("exports/0/verdicts/0/ratio")), 0.25, 1e-9);
    NUMBER("exports/0/verdicts/0/samples", 9);
    cr_expect(json_is_true(at("exports/0/verdicts/1/no_hole")));
    NUMBER("exports/0/verdicts/1/bytes_to", 1 << 30); // no end: as far as requests can reach
    TEXT("exports/0/verdicts/1/verdict", "unknown");
    NOTHING("exports/0/verdicts/1/source");
    NOTHING("exports/0/verdicts/1/age_s");
    NOTHING("exports/0/verdicts/1/ratio");
}

Test(snapshot, commands)
{
    static const char *const names[] = {"read",  "write",        "write_zeroes", "trim",
                                        "flush", "block_status", "cache"};
    cr_expect_eq(json_object_size(at("exports/0/commands")), 7);
    for (size_t i = 0; i < 7; i++)
        cr_expect_not_null(json_object_get(at("exports/0/commands"), names[i]), "%s", names[i]);
    NUMBER("exports/0/commands/read/count", 101);
    NUMBER("exports/0/commands/read/bytes", 4097);
    NUMBER("exports/0/commands/read/errors", 1);
    NUMBER("exports/0/commands/read/latency_us/max", 100000);
    // A value is known to within 0.8 %.
    json_int_t p50 = json_integer_value(at("exports/0/commands/read/latency_us/p50"));
    json_int_t p99 = json_integer_value(at("exports/0/commands/read/latency_us/p99"));
    cr_expect(p50 >= 49500 && p50 <= 51500, "%lld", (long long)p50);
    cr_expect(p99 >= 98000 && p99 <= 100000, "%lld", (long long)p99);
    cr_expect_not_null(at("exports/0/commands/read/latency_us/p90"));
    cr_expect_not_null(at("exports/0/commands/read/latency_us/p999"));
    NUMBER("exports/0/commands/trim/latency_us/p99", 0);
}

Test(snapshot, configured_exports_are_shown_before_anybody_asks)
{
    cr_assert_eq(json_array_size(at("exports")), 2); // each only once, as upstream calls it
    TEXT("exports/1/upstream", "storage");
    TEXT("exports/1/export", "later");
    NOTHING("exports/1/size");
    NOTHING("exports/1/upstream_flags");
    NOTHING("exports/1/advertised_flags");
    TEXT("exports/1/fast_zero/policy", "off");
    NUMBER("exports/1/fast_zero/requests", 0);
    cr_expect_eq(json_array_size(at("exports/1/verdicts")), 0);
    NUMBER("exports/1/commands/read/count", 0);
}

Test(snapshot, text_that_is_no_utf8)
{
    json_t *text = snapshot_text("unix:/tmp/\xff");
    cr_expect_str_eq(json_string_value(text), "unix:/tmp/\\xff");
    json_decref(text);
}

Test(snapshot, what_became_of_requests)
{
    NUMBER("exports/0/request_endings/done", 94);
    NUMBER("exports/0/request_endings/not-fast", 5);
    NUMBER("exports/0/request_endings/abandoned", 0);
    NUMBER("exports/0/errors/ENOTSUP", 6);
    NUMBER("exports/0/errors/EIO", 0);
    NUMBER("exports/0/translations", 3);
    NUMBER("exports/0/learning/operations", 8);
    NUMBER("exports/0/learning/demotions/traffic", 2);
    NUMBER("exports/0/probes/reasons/below-ratio", 1);
    NUMBER("memory/rss", 4096);
    NUMBER("started", 1700000000 - 600);
}
