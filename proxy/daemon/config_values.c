// SPDX-License-Identifier: BSD-3-Clause
#include "config_values.h"

#include <base/text.h>
#include <base/time.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RATIO_DIGITS 6

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"T", UINT64_C(1) << 40},
    {"G", UINT64_C(1) << 30},
    {"M", UINT64_C(1) << 20},
    {"K", UINT64_C(1) << 10},
    {"", 1},
    {NULL, 0},
};
static const struct unit time_units[] = {
    {"h", 60 * NS_PER_MIN}, {"min", NS_PER_MIN}, {"s", NS_PER_SEC}, {"ms", NS_PER_MS}, {NULL, 0},
};
static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

enum digits { DIGITS_OK, DIGITS_NONE, DIGITS_TOO_MANY };

// Digits from the front of *text, which then points behind them.
static enum digits
read_digits(const char **text, unsigned base, uint64_t *number)
{
    uint64_t n = 0;
    const char *p = *text;
    enum digits result = DIGITS_NONE;
    for (; *p >= '0' && *p < (char)('0' + base); p++) {
        if (result != DIGITS_TOO_MANY)
            result = DIGITS_OK;
        if (__builtin_mul_overflow(n, base, &n) ||
            __builtin_add_overflow(n, (uint64_t)(*p - '0'), &n))
            result = DIGITS_TOO_MANY;
    }
    *text = p;
    *number = n;
    return result;
}

static enum digits
read_with_unit(const char *text, const struct unit *units, uint64_t *number)
{
    enum digits result = read_digits(&text, 10, number);
    if (result != DIGITS_OK)
        return result;
    if (*number == 0 && *text == '\0') // nought of anything
        return DIGITS_OK;
    for (; units->name; units++)
        if (strcmp(text, units->name) == 0)
            return __builtin_mul_overflow(*number, units->factor, number) ? DIGITS_TOO_MANY
                                                                          : DIGITS_OK;
    return DIGITS_NONE;
}

// "0.30" in millionths.
static enum digits
read_ratio(const char *text, uint64_t *number)
{
    enum digits result = read_digits(&text, 10, number);
    if (result != DIGITS_OK)
        return result;
    bool point = *text == '.';
    text += point;
    for (unsigned i = 0; i < RATIO_DIGITS; i++) {
        unsigned digit = point && *text >= '0' && *text <= '9' ? (unsigned)(*text++ - '0') : 0;
        if (__builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, digit, number))
            return DIGITS_TOO_MANY;
    }
    return *text == '\0' ? DIGITS_OK : DIGITS_NONE;
}

static enum digits
read_range(const char *text, struct range *r)
{
    char offset[32];
    const char *colon = strchr(text, ':');
    if (!colon || (size_t)(colon - text) >= sizeof offset)
        return DIGITS_NONE;
    snprintf(offset, sizeof offset, "%.*s", (int)(colon - text), text);
    enum digits result = read_with_unit(offset, size_units, &r->offset);
    if (result == DIGITS_OK)
        result = read_with_unit(colon + 1, size_units, &r->length);
    if (result == DIGITS_OK &&
        (r->length == 0 || r->offset > INT64_MAX || r->length > INT64_MAX - r->offset))
        result = DIGITS_TOO_MANY;
    return result;
}

struct range
value_range(const char *text)
{
    struct range r = {0};
    (void)read_range(text, &r);
    return r;
}

static enum digits
read_octal(const char *text, uint64_t *number)
{
    enum digits result = read_digits(&text, 8, number);
    return *text ? DIGITS_NONE : result;
}

static enum digits
read_choice(const char *const *choices, const char *text, uint64_t *number)
{
    for (*number = 0; choices[*number]; ++*number)
        if (strcmp(choices[*number], text) == 0)
            return DIGITS_OK;
    return DIGITS_NONE;
}

static enum digits
read_number(const struct config_key *key, const char *text, uint64_t *number)
{
    static const char *const bools[] = {"no", "yes", NULL};
    struct range range = {0};
    enum digits result;
    switch (key->type) {
    case VALUE_TEXT: *number = 0; return DIGITS_OK;
    case VALUE_CHOICE: return read_choice(key->choices, text, number);
    case VALUE_BOOL: return read_choice(bools, text, number);
    case VALUE_COUNT: return read_with_unit(text, no_units, number);
    case VALUE_THREADS:
        *number = 0;
        return strcmp(text, "auto") == 0 ? DIGITS_OK : read_with_unit(text, no_units, number);
    case VALUE_SIZE: return read_with_unit(text, size_units, number);
    case VALUE_DURATION: return read_with_unit(text, time_units, number);
    case VALUE_RATIO: return read_ratio(text, number);
    case VALUE_MODE: return read_octal(text, number);
    case VALUE_RANGE:
        result = read_range(text, &range);
        *number = range.offset;
        return result;
    }
    return DIGITS_NONE;
}

static bool
in_range(const struct config_key *key, const char *text, uint64_t number)
{
    if (key->type == VALUE_THREADS && strcmp(text, "auto") == 0)
        return true;
    if (key->max == 0) // the type has no range
        return true;
    return (number == 0 && key->zero_is_none) || (number >= key->min && number <= key->max);
}

static void
say_out_of_range(const struct config_key *key, const char *text, char *err, size_t errlen)
{
    char low[32], high[32];
    snprintf(err, errlen, "%s = %s is out of range: %s%s to %s would be right", key->name, text,
             key->zero_is_none ? "0, or " : "", value_text(key, key->min, low, sizeof low),
             value_text(key, key->max, high, sizeof high));
}

bool
value_parse(const struct config_key *key, const char *text, uint64_t *number, char *err,
            size_t errlen)
{
    if (*text == '\0' && *key->initial == '\0') { // given, and yet not: the same as left out
        *number = 0;
        return true;
    }
    char shown[256];
    text_escape(shown, sizeof shown, bytes_of((const uint8_t *)text, strlen(text)));
    enum digits result = read_number(key, text, number);
    if (result == DIGITS_NONE) {
        snprintf(err, errlen, "%s = %s has the wrong form: %s would be right, like %s", key->name,
                 shown, config_key_form(key), *key->initial ? key->initial : "1M:64M");
        return false;
    }
    if (result == DIGITS_TOO_MANY && key->max == 0) {
        snprintf(err, errlen, "%s = %s is out of range", key->name, shown);
        return false;
    }
    if (result == DIGITS_TOO_MANY || !in_range(key, text, *number)) {
        say_out_of_range(key, shown, err, errlen);
        return false;
    }
    return true;
}

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
percent_decode(char *text, size_t *len)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from != '%') {
            *to++ = *from;
            continue;
        }
        int high = hex_digit(from[1]);
        int low = high < 0 ? -1 : hex_digit(from[2]);
        if (low < 0)
            return false;
        *to++ = (char)(high << 4 | low);
        from += 2;
    }
    *to = '\0';
    *len = (size_t)(to - text);
    return true;
}

static const char *
with_unit(const struct unit *units, uint64_t number, char *buf, size_t cap)
{
    while (units[1].name && (number == 0 || number % units->factor))
        units++;
    snprintf(buf, cap, "%" PRIu64 "%s", number / units->factor, units->name);
    return buf;
}

const char *
value_text(const struct config_key *key, uint64_t number, char *buf, size_t cap)
{
    switch (key->type) {
    case VALUE_SIZE: return with_unit(size_units, number, buf, cap);
    case VALUE_DURATION: return with_unit(time_units, number, buf, cap);
    case VALUE_RATIO: snprintf(buf, cap, "%.2f", (double)number / 1e6); return buf;
    case VALUE_MODE: snprintf(buf, cap, "%04" PRIo64, number); return buf;
    default: snprintf(buf, cap, "%" PRIu64, number); return buf;
    }
}
