// SPDX-License-Identifier: BSD-3-Clause
#include "control_request.h"

#include <base/log.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static void
refused(const char *text, const char *part)
{
    char err[512] = "";
    struct control_request r;
    cr_expect_not(control_request_parse(text, strlen(text), &r, err, sizeof err), "%s", text);
    cr_expect(strstr(err, part), "%s: %s", text, err);
    cr_expect_null(r.json);
}

static struct control_request
accepted(const char *text, const char *name)
{
    char err[512] = "";
    struct control_request r;
    cr_assert(control_request_parse(text, strlen(text), &r, err, sizeof err), "%s: %s", text, err);
    cr_expect_str_eq(r.command->name, name);
    return r;
}

Test(control_request, commands)
{
    struct control_request r = accepted("{\"version\":1,\"command\":\"json\"}", "json");
    control_request_clear(&r);
    r = accepted(" { \"command\" : \"json\", \"version\" : 1, \"more\" : [] } \r", "json");
    control_request_clear(&r);
    r = accepted("{\"version\":1,\"command\":\"reload\"}", "reload");
    cr_expect(r.command->changes);
    control_request_clear(&r);
    r = accepted("{\"version\":1,\"command\":\"log-level\",\"level\":\"warn\"}", "log-level");
    cr_expect_eq(r.values[0].choice, LOG_LEVEL_WARN);
    control_request_clear(&r);
}

Test(control_request, every_command_says_who_may_give_it)
{
    for (const struct control_command *c = control_commands; c->name; c++) {
        cr_expect_eq(c->changes, strcmp(c->name, "json") != 0, "%s", c->name);
        cr_expect_not_null((void *)(uintptr_t)c->run, "%s", c->name);
    }
}

Test(control_request, arguments)
{
    char text[256];
    struct control_request r = accepted("{\"version\":1,\"command\":\"verdict\",\"export\":\"\","
                                        "\"verdict\":\"auto\"}",
                                        "verdict");
    cr_expect_str_eq(r.values[0].text, "");
    cr_expect_eq(r.values[1].choice, 2);
    cr_expect_null(r.values[2].text, "optional, and not given");
    cr_expect_str_eq(control_request_text(&r, text, sizeof text),
                     "verdict export=\"\" verdict=\"auto\"");
    control_request_clear(&r);
    r = accepted("{\"version\":1,\"command\":\"verdict\",\"upstream\":\"u\\u001b\","
                 "\"export\":\"e\",\"verdict\":\"slow\"}",
                 "verdict");
    cr_expect_str_eq(r.values[2].text, "u\x1b");
    cr_expect_str_eq(control_request_text(&r, text, sizeof text),
                     "verdict export=\"e\" verdict=\"slow\" upstream=\"u\\x1b\"");
    cr_expect_str_eq(control_request_text(&r, text, 12), "verdict exp", "cut, not overrun");
    control_request_clear(&r);
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
    refused("{\"version\":1,\"command\":\"\"}", "unknown command \"\"");
}

Test(control_request, each_fault_of_an_argument_has_its_text)
{
    refused("{\"version\":1,\"command\":\"log-level\"}", "no \"level\"");
    refused("{\"version\":1,\"command\":\"log-level\",\"level\":3}", "\"level\" is not a string");
    refused("{\"version\":1,\"command\":\"log-level\",\"level\":null}", "is not a string");
    refused("{\"version\":1,\"command\":\"log-level\",\"level\":\"loud\\n\"}",
            "\"level\" is \"loud\\x0a\": error, warn, info or debug would be right");
    refused("{\"version\":1,\"command\":\"verdict\",\"export\":\"e\"}", "no \"verdict\"");
    refused("{\"version\":1,\"command\":\"verdict\",\"export\":\"e\",\"verdict\":\"unknown\"}",
            "fast, slow, auto or forget would be right");
    refused("{\"version\":1,\"command\":\"verdict\",\"verdict\":\"fast\"}", "no \"export\"");
    refused("{\"version\":1,\"command\":\"verdict\",\"export\":\"e\",\"verdict\":\"fast\","
            "\"upstream\":[]}",
            "\"upstream\" is not a string");
    refused("{\"version\":1,\"command\":\"verdict\",\"export\":\"e\",\"verdict\":\"fast\","
            "\"upstraem\":\"u\"}",
            "command \"verdict\" has no \"upstraem\"");
    refused("{\"version\":1,\"command\":\"drain\",\"now\":true}",
            "command \"drain\" has no \"now\"");
}

Test(control_request, replies_are_lines)
{
    size_t len;
    char *line = control_error_line("bad \xff \"thing\"\n", &len);
    cr_expect_str_eq(line, "{\"version\":1,\"error\":\"bad \\\\xff \\\"thing\\\"\\\\x0a\"}\n");
    cr_expect_eq(len, strlen(line));
    free(line);
    json_t *result = json_pack("{s:i}", "a", 1);
    json_t *whole = json_pack("{s:o}", "result", result);
    line = control_reply_line(whole, &len);
    cr_expect_str_eq(line, "{\"version\":1,\"result\":{\"a\":1}}\n");
    cr_expect_eq(len, strlen(line));
    free(line);
    json_decref(whole);
    json_t *refusal = json_pack("{s:s, s:[s]}", "error", "no", "faults", "a:1: b");
    line = control_reply_line(refusal, &len);
    cr_expect_str_eq(line, "{\"version\":1,\"error\":\"no\",\"faults\":[\"a:1: b\"]}\n");
    cr_expect_eq(len, strlen(line));
    free(line);
    json_decref(refusal);
    cr_expect_null(control_reply_line(NULL, &len), "there was no memory for it");
}
