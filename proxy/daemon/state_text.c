// SPDX-License-Identifier: BSD-3-Clause
#include "state_text.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const class_names[2] = {"plain", "no_hole"};

// Names are bytes, JSON's strings are not.
static json_t *
hex(struct bytes b)
{
    char *text = malloc(2 * b.len + 1);
    if (!text)
        return NULL;
    for (size_t i = 0; i < b.len; i++)
        snprintf(text + 2 * i, 3, "%02x", b.p[i]);
    text[2 * b.len] = '\0';
    json_t *j = json_string(text);
    free(text);
    return j;
}

static json_t *
milliseconds(nstime t)
{
    return json_integer((json_int_t)(t / NS_PER_MS));
}

static json_t *
cost_json(const struct zero_cost *c)
{
    return json_pack("{s:f, s:f}", "fixed_ns", c->a, "byte_ns", c->b);
}

static json_t *
class_json(const struct zero_saved *z)
{
    json_t *j = json_pack("{s:b, s:o, s:o, s:o, s:i}", "slow", z->slow, "slow_age_ms",
                          milliseconds(z->slow_age), "slow_left_ms", milliseconds(z->slow_left),
                          "refuse_for_ms", milliseconds(z->refuse_for), "samples", (int)z->samples);
    if (j && z->has_model)
        json_object_set_new(j, "model",
                            json_pack("{s:o, s:o, s:f}", "write", cost_json(&z->model.write),
                                      "zero", cost_json(&z->model.zero), "ratio", z->model.ratio));
    return j;
}

char *
state_text(const struct export_state *s, int64_t saved)
{
    json_t *j =
        json_pack("{s:i, s:I, s:o, s:o, s:I, s:i, s:s}", "version", STATE_VERSION, "saved",
                  (json_int_t)saved, "address", hex(s->address), "export", hex(s->name), "size",
                  (json_int_t)s->size, "flags", (int)s->flags, "pin", zero_verdict_name(s->pin));
    for (int i = 0; j && i < 2; i++)
        if (s->known[i])
            json_object_set_new(j, class_names[i], class_json(&s->classes[i]));
    char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;
    json_decref(j);
    return text;
}

// And back ---------------------------------------------------------------------------------

static int
nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// `to` has room for half of the text.
static bool
unhex(const json_t *j, uint8_t *to, struct bytes *b)
{
    const char *text = json_string_value(j);
    size_t len = json_string_length(j);
    if (!text || len % 2)
        return false;
    for (size_t i = 0; i < len; i += 2) {
        int high = nibble(text[i]), low = nibble(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        to[i / 2] = (uint8_t)(high << 4 | low);
    }
    *b = bytes_of(to, len / 2);
    return true;
}

static bool
take_time(const json_t *j, const char *key, nstime *t)
{
    const json_t *v = json_object_get(j, key);
    json_int_t ms = json_integer_value(v);
    if (!json_is_integer(v) || ms < 0 || (uint64_t)ms > UINT64_MAX / NS_PER_MS)
        return false;
    *t = (nstime)ms * NS_PER_MS;
    return true;
}

static bool
take_cost(const json_t *j, struct zero_cost *c)
{
    const json_t *a = json_object_get(j, "fixed_ns"), *b = json_object_get(j, "byte_ns");
    *c = (struct zero_cost){json_number_value(a), json_number_value(b)};
    return json_is_number(a) && json_is_number(b);
}

static bool
take_model(const json_t *j, struct zero_saved *z)
{
    const json_t *ratio = json_object_get(j, "ratio");
    z->has_model = true;
    z->model.ratio = json_number_value(ratio);
    return json_is_number(ratio) && take_cost(json_object_get(j, "write"), &z->model.write) &&
           take_cost(json_object_get(j, "zero"), &z->model.zero);
}

static bool
take_class(const json_t *j, struct zero_saved *z)
{
    const json_t *slow = json_object_get(j, "slow"), *samples = json_object_get(j, "samples");
    const json_t *model = json_object_get(j, "model");
    z->slow = json_is_true(slow);
    z->samples = (unsigned)json_integer_value(samples);
    return json_is_boolean(slow) && json_is_integer(samples) && json_integer_value(samples) >= 0 &&
           take_time(j, "slow_age_ms", &z->slow_age) &&
           take_time(j, "slow_left_ms", &z->slow_left) &&
           take_time(j, "refuse_for_ms", &z->refuse_for) && (!model || take_model(model, z));
}

static bool
take_pin(const json_t *j, enum zero_verdict *pin)
{
    const char *text = json_string_value(j);
    for (*pin = ZERO_UNKNOWN; text && *pin <= ZERO_FAST; (*pin)++)
        if (strcmp(text, zero_verdict_name(*pin)) == 0)
            return true;
    return false;
}

// The first key that makes no sense, or NULL.
static const char *
take(const json_t *j, struct export_state *s, int64_t *saved, uint8_t *memory, size_t half)
{
    const json_t *size = json_object_get(j, "size"), *flags = json_object_get(j, "flags");
    *saved = json_integer_value(json_object_get(j, "saved"));
    if (!json_is_integer(json_object_get(j, "saved")) || *saved < 0)
        return "saved";
    if (!unhex(json_object_get(j, "address"), memory, &s->address))
        return "address";
    if (!unhex(json_object_get(j, "export"), memory + half, &s->name))
        return "export";
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return "size";
    if (!json_is_integer(flags) || json_integer_value(flags) < 0 ||
        json_integer_value(flags) > UINT16_MAX)
        return "flags";
    s->size = (uint64_t)json_integer_value(size);
    s->flags = (uint16_t)json_integer_value(flags);
    if (!take_pin(json_object_get(j, "pin"), &s->pin))
        return "pin";
    for (int i = 0; i < 2; i++) {
        const json_t *class = json_object_get(j, class_names[i]);
        s->known[i] = class;
        if (class && !take_class(class, &s->classes[i]))
            return class_names[i];
    }
    return NULL;
}

static bool
parse(const json_t *j, size_t len, struct export_state *s, int64_t *saved, void **memory, char *err,
      size_t errlen)
{
    const json_t *version = json_object_get(j, "version");
    if (!json_is_integer(version) || json_integer_value(version) != STATE_VERSION) {
        snprintf(err, errlen, "its version is not %d", STATE_VERSION);
        return false;
    }
    *memory = malloc(len + 2); // two strings, each of which has at most half of the text's bytes
    if (!*memory) {
        snprintf(err, errlen, "out of memory");
        return false;
    }
    const char *wrong = take(j, s, saved, *memory, len / 2 + 1);
    if (!wrong)
        return true;
    snprintf(err, errlen, "its \"%s\" makes no sense", wrong);
    free(*memory);
    *memory = NULL;
    return false;
}

bool
state_text_parse(const char *text, size_t len, struct export_state *s, int64_t *saved,
                 void **memory, char *err, size_t errlen)
{
    json_error_t where;
    *s = (struct export_state){0};
    *memory = NULL;
    json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!j) {
        snprintf(err, errlen, "not JSON: %s (line %d)", where.text, where.line);
        return false;
    }
    bool good = parse(j, len, s, saved, memory, err, errlen);
    json_decref(j);
    return good;
}

// FNV-1a, with an end after each.
static uint64_t
hash(uint64_t h, struct bytes b)
{
    for (size_t i = 0; i < b.len; i++)
        h = (h ^ b.p[i]) * UINT64_C(0x100000001b3);
    return (h ^ 0xff) * UINT64_C(0x100000001b3);
}

void
state_name(char name[STATE_NAME_MAX], struct bytes address, struct bytes export_name)
{
    uint64_t h = hash(hash(UINT64_C(0xcbf29ce484222325), address), export_name);
    snprintf(name, STATE_NAME_MAX, "verdict-%016" PRIx64 ".json", h);
}
