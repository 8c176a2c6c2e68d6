// SPDX-License-Identifier: BSD-3-Clause
#include "control_request.h"

#include "snapshot.h"

#include <base/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 128

static const char *
shown(char *buf, const char *text)
{
    return text_escape(buf, SHOWN, bytes_str(text));
}

static const struct control_command *
find_command(const char *name, char *err, size_t errlen)
{
    char text[SHOWN];
    for (const struct control_command *c = control_commands; c->name; c++)
        if (strcmp(name, c->name) == 0)
            return c;
    snprintf(err, errlen, "unknown command \"%s\"", shown(text, name));
    return NULL;
}

// "fast, slow, auto or forget"
static void
say_choices(const struct control_argument *a, const char *text, char *err, size_t errlen)
{
    char buf[SHOWN];
    size_t n = (size_t)snprintf(err, errlen, "\"%s\" is \"%s\": ", a->name, shown(buf, text));
    for (unsigned i = 0; a->choices[i] && n < errlen; i++) {
        const char *between = i == 0 ? "" : a->choices[i + 1] ? ", " : " or ";
        n += (size_t)snprintf(err + n, errlen - n, "%s%s", between, a->choices[i]);
    }
    if (n < errlen)
        snprintf(err + n, errlen - n, " would be right");
}

static bool
take_argument(const struct control_argument *a, const json_t *given, struct control_value *v,
              char *err, size_t errlen)
{
    *v = (struct control_value){.text = json_string_value(given)};
    if (!given && a->optional)
        return true;
    if (!given)
        snprintf(err, errlen, "the request has no \"%s\"", a->name);
    else if (!v->text)
        snprintf(err, errlen, "\"%s\" is not a string", a->name);
    else if (!a->choices)
        return true;
    else {
        for (; a->choices[v->choice]; v->choice++)
            if (strcmp(a->choices[v->choice], v->text) == 0)
                return true;
        say_choices(a, v->text, err, errlen);
    }
    return false;
}

static bool
is_known(const struct control_command *c, const char *key)
{
    bool known = strcmp(key, "version") == 0 || strcmp(key, "command") == 0;
    for (unsigned i = 0; i < CONTROL_ARGUMENTS_MAX && c->arguments[i].name; i++)
        known |= strcmp(key, c->arguments[i].name) == 0;
    return known;
}

static bool
check_keys(const struct control_command *c, json_t *request, char *err, size_t errlen)
{
    const char *key;
    json_t *value;
    char text[SHOWN];
    json_object_foreach(request, key, value)
    {
        if (is_known(c, key))
            continue;
        snprintf(err, errlen, "command \"%s\" has no \"%s\"", c->name, shown(text, key));
        return false;
    }
    return true;
}

static bool
read_arguments(struct control_request *r, char *err, size_t errlen)
{
    const struct control_command *c = r->command;
    if (c->changes && !check_keys(c, r->json, err, errlen))
        return false;
    for (unsigned i = 0; i < CONTROL_ARGUMENTS_MAX && c->arguments[i].name; i++)
        if (!take_argument(&c->arguments[i], json_object_get(r->json, c->arguments[i].name),
                           &r->values[i], err, errlen))
            return false;
    return true;
}

static bool
read_object(struct control_request *r, char *err, size_t errlen)
{
    const json_t *version = json_object_get(r->json, "version");
    const json_t *command = json_object_get(r->json, "command");
    if (!json_is_object(r->json))
        snprintf(err, errlen, "the request is not a JSON object");
    else if (!json_is_integer(version))
        snprintf(err, errlen, "the request has no \"version\" that is a number");
    else if (json_integer_value(version) != CONTROL_VERSION)
        snprintf(err, errlen, "version %lld is not spoken here, only %d",
                 (long long)json_integer_value(version), CONTROL_VERSION);
    else if (!json_is_string(command))
        snprintf(err, errlen, "the request has no \"command\" that is a string");
    else
        r->command = find_command(json_string_value(command), err, errlen);
    return r->command && read_arguments(r, err, errlen);
}

bool
control_request_parse(const char *text, size_t len, struct control_request *r, char *err,
                      size_t errlen)
{
    json_error_t where;
    *r = (struct control_request){.json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where)};
    if (!r->json) {
        snprintf(err, errlen, "the request is not JSON: %s (byte %d)", where.text, where.position);
        return false;
    }
    if (read_object(r, err, errlen))
        return true;
    control_request_clear(r);
    return false;
}

void
control_request_clear(struct control_request *r)
{
    json_decref(r->json);
    *r = (struct control_request){0};
}

const char *
control_request_text(const struct control_request *r, char *buf, size_t cap)
{
    char text[SHOWN];
    size_t n = (size_t)snprintf(buf, cap, "%s", r->command->name);
    for (unsigned i = 0; i < CONTROL_ARGUMENTS_MAX && n < cap; i++)
        if (r->values[i].text)
            n += (size_t)snprintf(buf + n, cap - n, " %s=\"%s\"", r->command->arguments[i].name,
                                  shown(text, r->values[i].text));
    return buf;
}

// Replies ----------------------------------------------------------------------------------

static char *
line_of(json_t *reply, size_t *len)
{
    char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;
    json_decref(reply);
    if (!text)
        return NULL;
    *len = strlen(text) + 1;
    char *line = realloc(text, *len + 1);
    if (!line) {
        free(text);
        return NULL;
    }
    memcpy(line + *len - 1, "\n", 2);
    return line;
}

char *
control_reply_line(const json_t *reply, size_t *len)
{
    json_t *whole = json_pack("{s:i}", "version", CONTROL_VERSION);
    if (json_object_update(whole, (json_t *)(uintptr_t)reply) < 0) {
        json_decref(whole);
        whole = NULL;
    }
    return line_of(whole, len);
}

char *
control_error_line(const char *error, size_t *len)
{
    return line_of(
        json_pack("{s:i, s:o}", "version", CONTROL_VERSION, "error", snapshot_text(error)), len);
}
