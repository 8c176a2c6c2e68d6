// SPDX-License-Identifier: BSD-3-Clause
#include "prometheus.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static char *text;

static void
render(const char *snapshot)
{
    size_t len;
    json_error_t where;
    json_t *json = json_loads(snapshot, 0, &where);
    cr_assert(json, "%s", where.text);
    text = prometheus_text(json, &len);
    cr_assert(text);
    cr_assert_eq(strlen(text), len);
    json_decref(json);
}

static void
has_line(const char *line)
{
    size_t len = strlen(line);
    for (const char *at = text; (at = strstr(at, line)); at += len)
        if ((at == text || at[-1] == '\n') && at[len] == '\n')
            return;
    cr_assert(false, "no line %s in\n%s", line, text);
}

Test(prometheus, numbers_units_and_labels)
{
    render("{\"version\": \"1.2\", \"uptime_s\": 77, \"endings\": {\"client-disc\": 3},"
           " \"log\": {\"lines_dropped\": 1, \"lines_suppressed\": 2},"
           " \"upstreams\": [{\"name\": \"u\", \"down\": true, \"reached\": 5, \"failed\": 6}],"
           " \"exports\": [{\"upstream\": \"u\", \"export\": \"d\", \"size\": null,"
           " \"probes\": {\"time_ms\": 1234, \"fast\": 1}}]}");
    has_line("# TYPE nbdzero_uptime_seconds gauge");
    has_line("nbdzero_build_info{version=\"1.2\"} 1");
    has_line("nbdzero_uptime_seconds 77");
    has_line("nbdzero_session_endings_total{ending=\"client-disc\"} 3");
    has_line("nbdzero_log_lines_lost_total{cause=\"lines_dropped\"} 1");
    has_line("nbdzero_upstream_down{upstream=\"u\"} 1");
    has_line("nbdzero_upstream_connects_total{upstream=\"u\",result=\"failed\"} 6");
    has_line("nbdzero_probe_seconds_total{upstream=\"u\",export=\"d\"} 1.234");
    has_line("nbdzero_probe_results_total{upstream=\"u\",export=\"d\",result=\"fast\"} 1");
    cr_expect_not(strstr(text, "nbdzero_export_size_bytes{"), "what is not known is left out");
    free(text);
}

// An export's name is a client's word: it must not forge a line, nor end a label.
Test(prometheus, names_are_escaped)
{
    render("{\"exports\": [{\"upstream\": \"u\", \"export\": \"a\\\"b\\\\c\\nd 7\","
           " \"connections\": 1}]}");
    has_line("nbdzero_export_connections{upstream=\"u\",export=\"a\\\"b\\\\c\\nd 7\"} 1");
    free(text);
}

Test(prometheus, latencies_are_a_histogram)
{
    render("{\"exports\": [{\"upstream\": \"u\", \"export\": \"\", \"commands\": {"
           "\"read\": {\"count\": 9, \"bytes\": 8, \"errors\": 1, \"latency_us\":"
           " {\"sum\": 2500000, \"buckets\": [[50, 4], [2500000, 8]]}},"
           "\"trim\": {\"count\": 0, \"bytes\": 0, \"errors\": 0, \"latency_us\": {}}}}]}");
    has_line("nbdzero_requests_total{upstream=\"u\",export=\"\",command=\"trim\"} 0");
#define OF "{upstream=\"u\",export=\"\",command=\"read\""
    has_line("nbdzero_request_duration_seconds_bucket" OF ",le=\"5e-05\"} 4");
    has_line("nbdzero_request_duration_seconds_bucket" OF ",le=\"2.5\"} 8");
    has_line("nbdzero_request_duration_seconds_bucket" OF ",le=\"+Inf\"} 9");
    has_line("nbdzero_request_duration_seconds_sum" OF "} 2.5");
    has_line("nbdzero_request_duration_seconds_count" OF "} 9");
    cr_expect_not(strstr(text, "seconds_count{upstream=\"u\",export=\"\",command=\"trim\""));
    free(text);
}

Test(prometheus, verdicts_at_sizes)
{
    render("{\"exports\": [{\"upstream\": \"u\", \"export\": \"d\", \"verdicts\": ["
           "{\"no_hole\": false, \"bytes_from\": 1, \"bytes_to\": 100000, \"verdict\": \"slow\"},"
           "{\"no_hole\": false, \"bytes_from\": 100001, \"bytes_to\": 20000000,"
           " \"verdict\": \"fast\"}]}]}");
#define FAST "nbdzero_zeroing_is_fast{upstream=\"u\",export=\"d\",no_hole=\"false\",size_bytes="
    has_line(FAST "\"65536\"} 0");
    has_line(FAST "\"1048576\"} 1");
    has_line(FAST "\"16777216\"} 1");
    cr_expect_not(strstr(text, "1073741824"), "nobody knows");
    free(text);
}

// Of an export that nobody has opened yet: nobody knows how large it is.
Test(prometheus, a_pin_without_an_end)
{
    render(
        "{\"exports\": [{\"upstream\": \"u\", \"export\": \"d\", \"verdicts\": ["
        "{\"no_hole\": false, \"bytes_from\": 1, \"bytes_to\": null, \"verdict\": \"fast\"}]}]}");
    has_line(FAST "\"65536\"} 1");
    has_line(FAST "\"16777216\"} 1");
    free(text);
}

Test(prometheus, an_empty_snapshot)
{
    render("{}");
    has_line("# TYPE nbdzero_requests_total counter");
    free(text);
}

// The one has been read from, the other only opened: whichever comes first.
Test(prometheus, a_command_that_one_of_two_has_used)
{
#define USED                                                                                       \
    "{\"upstream\": \"u\", \"export\": \"e\", \"connections\": 0, \"commands\": {\"read\": "       \
    "{\"count\": 3,"                                                                               \
    " \"latency_us\": {\"sum\": 5, \"buckets\": [[50, 1], [100, 3]]}}}}"
#define UNUSED                                                                                     \
    "{\"upstream\": \"u\", \"export\": \"e\", \"connections\": 1, \"commands\": {\"read\": "       \
    "{\"count\": 0,"                                                                               \
    " \"latency_us\": {\"sum\": 0, \"buckets\": []}}}}"
    static const char *const snapshots[] = {"{\"exports\": [" USED ", " UNUSED "]}",
                                            "{\"exports\": [" UNUSED ", " USED "]}"};
    for (unsigned i = 0; i < 2; i++) {
        render(snapshots[i]);
        has_line(
            "nbdzero_request_duration_seconds_bucket{upstream=\"u\",export=\"e\",command=\"read\","
            "le=\"5e-05\"} 1");
        has_line("nbdzero_request_duration_seconds_count{upstream=\"u\",export=\"e\",command="
                 "\"read\"} 3");
        free(text);
    }
}

// One export at two addresses, as a reload leaves them: counts are added up, and what is, is told
// of the one in use.
Test(prometheus, no_series_twice)
{
#define READS(count)                                                                               \
    "\"commands\": {\"read\": {\"count\": " count ", \"latency_us\": {\"sum\": 5, \"buckets\":"    \
    " [[50, 1], [100, " count "]]}}}"
    render(
        "{\"exports\": ["
        "{\"upstream\": \"u\", \"export\": \"e\", \"connections\": 0, \"size\": 7, " READS(
            "3") "},"
                 "{\"upstream\": \"u\", \"export\": \"e\", \"connections\": 2, \"size\": 9, " READS(
                     "4") "},"
                          "{\"upstream\": \"u e\", \"export\": \"\", \"connections\": 1}]}");
    has_line("nbdzero_requests_total{upstream=\"u\",export=\"e\",command=\"read\"} 7");
#define BUCKET                                                                                     \
    "nbdzero_request_duration_seconds_bucket{upstream=\"u\",export=\"e\",command=\"read\","
    has_line(BUCKET "le=\"5e-05\"} 2");
    has_line(BUCKET "le=\"0.0001\"} 7");
    has_line(BUCKET "le=\"+Inf\"} 7");
    has_line("nbdzero_export_size_bytes{upstream=\"u\",export=\"e\"} 9");
    has_line("nbdzero_export_connections{upstream=\"u\",export=\"e\"} 2");
    has_line("nbdzero_export_connections{upstream=\"u e\",export=\"\"} 1");
    cr_expect_not(strstr(text, "nbdzero_export_size_bytes{upstream=\"u\",export=\"e\"} 7"));
    free(text);
}

Test(prometheus, words_of_ours_are_labels)
{
    render("{\"started\": 1700000000, \"memory\": {\"rss\": 4096}, \"exports\": ["
           "{\"upstream\": \"u\", \"export\": \"e\", \"request_endings\": {\"done\": 3},"
           " \"errors\": {\"EIO\": 4}, \"translations\": 8,"
           " \"probes\": {\"reasons\": {\"below-ratio\": 5}},"
           " \"learning\": {\"operations\": 6, \"demotions\": {\"traffic\": 7}}}]}");
    has_line("nbdzero_start_time_seconds 1700000000");
    has_line("nbdzero_memory_resident_bytes 4096");
    has_line("nbdzero_request_endings_total{upstream=\"u\",export=\"e\",ending=\"done\"} 3");
    has_line("nbdzero_error_answers_total{upstream=\"u\",export=\"e\",error=\"EIO\"} 4");
    has_line("nbdzero_probe_reasons_total{upstream=\"u\",export=\"e\",reason=\"below-ratio\"} 5");
    has_line("nbdzero_traffic_samples_total{upstream=\"u\",export=\"e\",kind=\"operations\"} 6");
    has_line("nbdzero_verdict_demotions_total{upstream=\"u\",export=\"e\",by=\"traffic\"} 7");
    has_line("nbdzero_requests_translated_total{upstream=\"u\",export=\"e\"} 8");
    free(text);
}
