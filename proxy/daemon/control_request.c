// SPDX-License-Identifier: BSD-3-Clause
#include "control_request.h"

#include "snapshot.h"

#include <base/text.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Commands that nbdzero-stat will have, so that an old daemon's answer to a newer tool makes sense.
static const char *const later[] = {"prometheus", "drain", "upgrade", "verdict", "log-level"};

static enum control_command
find_command(const char *name, char *err, size_t errlen)
{
    char shown[128];
    if (strcmp(name, "json") == 0)
        return CONTROL_JSON;
    if (strcmp(name, "reload") == 0)
        return CONTROL_RELOAD;
    text_escape(shown, sizeof shown, bytes_str(name));
    bool is_later = false;
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++)
        is_later |= strcmp(name, later[i]) == 0;
    snprintf(err, errlen,
             is_later ? "command \"%s\" is not yet supported" : "unknown command \"%s\"", shown);
    return CONTROL_BAD;
}

static enum control_command
read_object(const json_t *request, char *err, size_t errlen)
{
    const json_t *version = json_object_get(request, "version");
    const json_t *command = json_object_get(request, "command");
    if (!json_is_object(request))
        snprintf(err, errlen, "the request is not a JSON object");
    else if (!json_is_integer(version))
        snprintf(err, errlen, "the request has no \"version\" that is a number");
    else if (json_integer_value(version) != CONTROL_VERSION)
        snprintf(err, errlen, "version %lld is not spoken here, only %d",
                 (long long)json_integer_value(version), CONTROL_VERSION);
    else if (!json_is_string(command))
        snprintf(err, errlen, "the request has no \"command\" that is a string");
    else
        return find_command(json_string_value(command), err, errlen);
    return CONTROL_BAD;
}

enum control_command
control_request_parse(const char *text, size_t len, char *err, size_t errlen)
{
    json_error_t where;
    json_t *request = json_loadb(text, len, JSON_REJECT_DUPLICATES, &where);
    if (!request) {
        snprintf(err, errlen, "the request is not JSON: %s (byte %d)", where.text, where.position);
        return CONTROL_BAD;
    }
    enum control_command command = read_object(request, err, errlen);
    json_decref(request);
    return command;
}

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
control_reply(json_t *reply, size_t *len)
{
    json_t *whole = json_pack("{s:i}", "version", CONTROL_VERSION);
    if (json_object_update(whole, reply) < 0) {
        json_decref(whole);
        whole = NULL;
    }
    return line_of(whole, len);
}

char *
control_reply_result(json_t *result, size_t *len)
{
    return line_of(json_pack("{s:i, s:O}", "version", CONTROL_VERSION, "result", result), len);
}

char *
control_reply_error(const char *error, size_t *len)
{
    return line_of(
        json_pack("{s:i, s:o}", "version", CONTROL_VERSION, "error", snapshot_text(error)), len);
}
