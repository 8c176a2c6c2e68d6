// SPDX-License-Identifier: BSD-3-Clause
#include "config_values.h"

#include <base/log.h>
#include <base/time.h>
#include <criterion/criterion.h>
#include <string.h>
#include <zero/rules.h>

static bool
parse(enum config_key_id id, const char *text, uint64_t *number)
{
    char err[VALUE_ERROR] = "";
    bool good = value_parse(&config_keys[id], text, number, err, sizeof err);
    cr_expect(good || *err, "a refusal without a reason: %s", text);
    return good;
}

static void
means(enum config_key_id id, const char *text, uint64_t number)
{
    uint64_t n = 77;
    cr_expect(parse(id, text, &n), "%s = %s is refused", config_keys[id].name, text);
    cr_expect_eq(n, number, "%s is taken for %llu", text, (unsigned long long)n);
}

static void
refused(enum config_key_id id, const char *text)
{
    uint64_t n;
    cr_expect(!parse(id, text, &n), "%s = %s is accepted", config_keys[id].name, text);
}

Test(values, sizes)
{
    means(KEY_PROBE_BYTES, "1M", 1 << 20);
    means(KEY_PROBE_BYTES, "1024K", 1 << 20);
    means(KEY_PROBE_BYTES, "1048576", 1 << 20);
    means(KEY_PROBE_BYTES, "1G", 1 << 30);
    refused(KEY_PROBE_BYTES, "1048575");
    refused(KEY_PROBE_BYTES, "2G");
    refused(KEY_PROBE_BYTES, "1T");
    refused(KEY_PROBE_BYTES, "1MB");
    refused(KEY_PROBE_BYTES, "1 M");
    refused(KEY_PROBE_BYTES, "1.5M");
    refused(KEY_PROBE_BYTES, "-1M");
    refused(KEY_PROBE_BYTES, "+1M");
    refused(KEY_PROBE_BYTES, "0x100000");
    refused(KEY_PROBE_BYTES, "M");
    refused(KEY_PROBE_BYTES, "");
    // 2^64 and more must not wrap into the range.
    refused(KEY_PROBE_BYTES, "18446744073710600192");
    refused(KEY_PROBE_BYTES, "17592186044417M");
    refused(KEY_PROBE_BYTES, "99999999999999999999999999999");
}

Test(values, durations)
{
    means(KEY_IO_TIMEOUT, "250ms", 250 * NS_PER_MS);
    means(KEY_IO_TIMEOUT, "60s", 60 * NS_PER_SEC);
    means(KEY_IO_TIMEOUT, "2min", 2 * NS_PER_MIN);
    means(KEY_IO_TIMEOUT, "24h", 24 * 60 * NS_PER_MIN);
    means(KEY_IO_TIMEOUT, "0", 0);
    means(KEY_IO_TIMEOUT, "0s", 0);
    refused(KEY_IO_TIMEOUT, "25h");
    refused(KEY_IO_TIMEOUT, "9ms");
    refused(KEY_IO_TIMEOUT, "60");
    refused(KEY_IO_TIMEOUT, "60 s");
    refused(KEY_IO_TIMEOUT, "60S");
    refused(KEY_IO_TIMEOUT, "1m");
    refused(KEY_IO_TIMEOUT, "5124096h"); // wraps to a few minutes
    refused(KEY_HANDSHAKE_TIMEOUT, "0"); // must have one
}

Test(values, numbers)
{
    means(KEY_MAX_CONNECTIONS, "1", 1);
    means(KEY_MAX_CONNECTIONS, "1000000", 1000000);
    refused(KEY_MAX_CONNECTIONS, "0");
    refused(KEY_MAX_CONNECTIONS, "1000001");
    refused(KEY_MAX_CONNECTIONS, "1K");
    means(KEY_THREADS, "auto", 0);
    means(KEY_THREADS, "256", 256);
    refused(KEY_THREADS, "0");
    refused(KEY_THREADS, "257");
    refused(KEY_THREADS, "Auto");
}

Test(values, ratios)
{
    means(KEY_FAST_ZERO_RATIO, "0.30", 300000);
    means(KEY_FAST_ZERO_RATIO, "0.3", 300000);
    means(KEY_FAST_ZERO_RATIO, "0.05", 50000);
    means(KEY_FAST_ZERO_RATIO, "0.700000", 700000);
    refused(KEY_FAST_ZERO_RATIO, "0.049999");
    refused(KEY_FAST_ZERO_RATIO, "0.700001");
    refused(KEY_FAST_ZERO_RATIO, "0.3000000"); // more digits than are told apart
    refused(KEY_FAST_ZERO_RATIO, "0,3");
    refused(KEY_FAST_ZERO_RATIO, ".3");
    refused(KEY_FAST_ZERO_RATIO, "30%");
    refused(KEY_FAST_ZERO_RATIO, "1");
    refused(KEY_FAST_ZERO_RATIO, "nan");
    refused(KEY_FAST_ZERO_RATIO, "18446744073710.000000");
}

Test(values, words)
{
    means(KEY_READ_ONLY, "yes", 1);
    means(KEY_READ_ONLY, "no", 0);
    refused(KEY_READ_ONLY, "true");
    refused(KEY_READ_ONLY, "1");
    refused(KEY_READ_ONLY, "");
    means(KEY_FAST_ZERO, "measure", ZERO_MEASURE);
    means(KEY_FAST_ZERO, "trust", ZERO_TRUST);
    means(KEY_FAST_ZERO, "always", ZERO_ALWAYS);
    means(KEY_FAST_ZERO, "never", ZERO_NEVER);
    means(KEY_FAST_ZERO, "off", ZERO_OFF);
    refused(KEY_FAST_ZERO, "on");
    means(KEY_LOG_LEVEL, "error", LOG_LEVEL_ERROR);
    means(KEY_LOG_LEVEL, "debug", LOG_LEVEL_DEBUG);
}

Test(values, modes)
{
    means(KEY_LISTEN_SOCKET_MODE, "0600", 0600);
    means(KEY_LISTEN_SOCKET_MODE, "660", 0660);
    means(KEY_LISTEN_SOCKET_MODE, "0", 0);
    refused(KEY_LISTEN_SOCKET_MODE, "0800");
    refused(KEY_LISTEN_SOCKET_MODE, "1777");
    refused(KEY_LISTEN_SOCKET_MODE, "rw");
}

Test(values, ranges)
{
    means(KEY_SCRATCH, "", 0);
    means(KEY_SCRATCH, "1M:64M", 1 << 20);
    refused(KEY_SCRATCH, "1M");
    refused(KEY_SCRATCH, "1M:0");
    refused(KEY_SCRATCH, "1M:");
    refused(KEY_SCRATCH, ":1M");
    refused(KEY_SCRATCH, "8388607T:2T"); // past the largest export
}

Test(values, the_reason_names_what_would_be_right)
{
    char err[VALUE_ERROR];
    uint64_t n;
    value_parse(&config_keys[KEY_IO_TIMEOUT], "5", &n, err, sizeof err);
    cr_expect(strstr(err, "ms, s, min or h"), "%s", err);
    value_parse(&config_keys[KEY_IO_TIMEOUT], "48h", &n, err, sizeof err);
    cr_expect(strstr(err, "0, or 10ms to 24h"), "%s", err);
    value_parse(&config_keys[KEY_READ_ONLY], "\x1b[2J", &n, err, sizeof err);
    cr_expect(strstr(err, "\\x1b[2J"), "%s", err);
}

Test(values, percent)
{
    size_t len;
    char plain[] = "disk%201%2f%00x";
    cr_assert(percent_decode(plain, &len));
    cr_expect_eq(len, 9);
    cr_expect(memcmp(plain, "disk 1/\0x", 9) == 0);
    char half[] = "a%4", wrong[] = "%zz", last[] = "%";
    cr_expect(!percent_decode(half, &len));
    cr_expect(!percent_decode(wrong, &len));
    cr_expect(!percent_decode(last, &len));
}

// What value_text() writes, value_parse() reads.
Test(values, limits_can_be_written)
{
    char text[32];
    for (enum config_key_id id = 0; id < CONFIG_KEYS; id++) {
        const struct config_key *key = &config_keys[id];
        if (!key->max)
            continue;
        means(id, value_text(key, key->min, text, sizeof text), key->min);
        means(id, value_text(key, key->max, text, sizeof text), key->max);
    }
}
