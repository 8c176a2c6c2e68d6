// SPDX-License-Identifier: BSD-3-Clause
// Values as people write them in the configuration: sizes, times, choices and the like.
#ifndef DAEMON_CONFIG_VALUES_H
#define DAEMON_CONFIG_VALUES_H

#include "config_keys.h"

#include <base/bytes.h>
#include <base/range.h>
#include <stddef.h>

#define VALUE_ERROR 400

// Reads `text` as a value of `key` into a number (what it means: enum value_type; of a VALUE_RANGE
// the offset, and 0 for VALUE_TEXT). False: err says what is wrong and what would be right.
bool value_parse(const struct config_key *key, const char *text, uint64_t *number, char *err,
                 size_t errlen);

// A VALUE_RANGE that value_parse() found good.
struct range value_range(const char *text);

// Decodes %XX in place of the text's own memory; false where a % is not followed by two hex digits.
bool percent_decode(char *text, size_t *len);

// A number as people write it in the file, for messages: "32M", "500ms", "0.30".
const char *value_text(const struct config_key *key, uint64_t number, char *buf, size_t cap);

#endif
