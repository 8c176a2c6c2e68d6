// SPDX-License-Identifier: BSD-3-Clause
#include "control_request.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void
refused(const char *text, const char *part)
{
    char err[512] = "";
    cr_expect_eq(control_request_parse(text, strlen(text), err, sizeof err), CONTROL_BAD, "%s",
                 text);
    cr_expect(strstr(err, part), "%s: %s", text, err);
}

Test(control_request, commands)
{
    char err[512];
    const char *text = "{\"version\":1,\"command\":\"json\"}";
    cr_expect_eq(control_request_parse(text, strlen(text), err, sizeof err), CONTROL_JSON);
    text = " { \"command\" : \"json\", \"version\" : 1, \"more\" : [] } \r";
    cr_expect_eq(control_request_parse(text, strlen(text), err, sizeof err), CONTROL_JSON);
    text = "{\"version\":1,\"command\":\"reload\"}";
    cr_expect_eq(control_request_parse(text, strlen(text), err, sizeof err), CONTROL_RELOAD);
}

Test(control_request, each_fault_has_its_text)
{
    refused("", "not JSON");
    refused("json", "not JSON");
    refused("{\"version\":1,\"command\":\"json\"", "not JSON");
    refused("{\"version\":1,\"command\":\"json\"} x", "not JSON");
    refused("{\"version\":1,\"version\":1,\"command\":\"json\"}", "not JSON");
    refused("[]", "not a JSON object");
    refused("{\"command\":\"json\"}", "\"version\"");
    refused("{\"version\":\"1\",\"command\":\"json\"}", "\"version\"");
    refused("{\"version\":2,\"command\":\"json\"}", "version 2");
    refused("{\"version\":1}", "\"command\"");
    refused("{\"version\":1,\"command\":5}", "\"command\"");
    refused("{\"version\":1,\"command\":\"dance\\u001b\"}", "unknown command \"dance\\x1b\"");
    refused("{\"version\":1,\"command\":\"drain\"}", "not yet supported");
}

Test(control_request, replies_are_lines)
{
    size_t len;
    char *line = control_reply_error("bad \xff \"thing\"\n", &len);
    cr_expect_str_eq(line, "{\"version\":1,\"error\":\"bad \\\\xff \\\"thing\\\"\\\\x0a\"}\n");
    cr_expect_eq(len, strlen(line));
    free(line);
    json_t *result = json_pack("{s:i}", "a", 1);
    line = control_reply_result(result, &len);
    cr_expect_str_eq(line, "{\"version\":1,\"result\":{\"a\":1}}\n");
    cr_expect_eq(len, strlen(line));
    free(line);
    json_decref(result);
    json_t *refusal = json_pack("{s:s, s:[s]}", "error", "no", "faults", "a:1: b");
    line = control_reply(refusal, &len);
    cr_expect_str_eq(line, "{\"version\":1,\"error\":\"no\",\"faults\":[\"a:1: b\"]}\n");
    cr_expect_eq(len, strlen(line));
    free(line);
    json_decref(refusal);
    cr_expect_null(control_reply(NULL, &len), "there was no memory for it");
}
