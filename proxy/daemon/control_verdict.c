// SPDX-License-Identifier: BSD-3-Clause
// "verdict": what an administrator knows better than any measurement, or wants measured anew.
#include "control_command.h"

#include "export_names.h"
#include "snapshot.h"
#include "state_keeper.h"

#include <base/text.h>
#include <stdio.h>
#include <string.h>

enum { ARGUMENT_EXPORT, ARGUMENT_VERDICT, ARGUMENT_UPSTREAM };

const char *const control_verdict_words[] = {"fast", "slow", "auto", "forget", NULL};
static const enum export_order orders[] = {EXPORT_PIN_FAST, EXPORT_PIN_SLOW, EXPORT_UNPIN,
                                           EXPORT_FORGET};

static void
refuse_unknown(struct control_call *call, const char *upstream, const char *name)
{
    char shown[300], of[100];
    text_escape(shown, sizeof shown, bytes_str(name));
    if (upstream)
        control_failed(call,
                       "upstream %s has no export \"%s\" that has been asked for, saved or "
                       "configured",
                       text_escape(of, sizeof of, bytes_str(upstream)), shown);
    else
        control_failed(call, "no export \"%s\" has been asked for, saved or configured", shown);
}

static void
refuse_ambiguous(struct control_call *call, const struct export_matches *m, const char *name)
{
    char error[1024], shown[300];
    json_t *list = json_array();
    size_t n = (size_t)snprintf(error, sizeof error,
                                "export \"%s\" is there at %zu upstreams: name one of ",
                                text_escape(shown, sizeof shown, bytes_str(name)), m->n);
    for (size_t i = 0; i < m->n; i++) {
        if (n < sizeof error)
            n += (size_t)snprintf(error + n, sizeof error - n, "%s%s", i ? ", " : "",
                                  m->list[i].upstream);
        json_array_append_new(list, snapshot_text(m->list[i].upstream));
    }
    control_done(call, json_pack("{s:o, s:o}", "error", snapshot_text(error), "upstreams", list));
}

// What would end the order earlier than it should.
static json_t *
warnings(const struct control_call *call)
{
    const struct control_means *m = call->means;
    const char *why = m->reload->over;
    if (!why && !m->state)
        why = *m->reload->config->settings->state_dir ? "nothing is saved at the moment"
                                                      : "there is no state-dir";
    if (!why && state_counts().unsaved)
        why = "state-dir cannot be written";
    json_t *list = json_array();
    if (why)
        json_array_append_new(list, json_sprintf("%s: this lasts as long as the process", why));
    return list;
}

static void
obey(struct control_call *call, const struct export_match *m, unsigned word)
{
    const struct control_means *means = call->means;
    char shown[256];
    if (!registry_order(means->registry, m->address, m->name, orders[word],
                        ring_clock(means->ring))) {
        control_done(call, NULL);
        return;
    }
    state_keeper_hurry(means->state);
    control_done(call,
                 json_pack("{s:{s:o, s:o, s:s, s:o}}", "result", "upstream",
                           snapshot_text(m->upstream), "export",
                           snapshot_text(text_escape(shown, sizeof shown, m->name)), "verdict",
                           control_verdict_words[word], "warnings", warnings(call)));
}

void
control_verdict(struct control_call *call, const struct control_value *values)
{
    struct export_matches m;
    const char *upstream = values[ARGUMENT_UPSTREAM].text, *name = values[ARGUMENT_EXPORT].text;
    export_names_find(call->means->registry, call->means->reload->config->settings, upstream, name,
                      &m);
    if (m.short_of_memory)
        control_done(call, NULL);
    else if (m.n == 0)
        refuse_unknown(call, upstream, name);
    else if (m.n > 1)
        refuse_ambiguous(call, &m, name);
    else
        obey(call, &m.list[0], values[ARGUMENT_VERDICT].choice);
    export_matches_free(&m);
}
