// SPDX-License-Identifier: BSD-3-Clause
// The model client: negotiates as it is told, sends requests of its own choice or from a script,
// and checks every byte that comes back.
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "line.h"
#include "oracle.h"
#include "sock.h"
#include "world.h"

#include <base/bytes.h>
#include <wire/codec.h>

enum leave { LEAVE_DISC, LEAVE_EOF, LEAVE_ABORT, LEAVE_STAY };

struct scripted {
    uint16_t type, flags;
    uint64_t offset, length;
    nstime pause; // before it
    bool alone;   // not before all others are answered
};

#define STEPS_MAX  24 // options of one client
#define LISTED_MAX 8

struct client_plan {
    nstime start;
    // Options, in this order; the last is GO or EXPORT_NAME unless the client leaves before it.
    uint32_t steps[STEPS_MAX];
    unsigned n_steps;
    const char *name;                      // of the export
    const char *names[STEPS_MAX];          // what a step asks of instead
    uint64_t (*size_of)(const char *name); // if the sizes of exports differ
    bool no_zeroes;                        // agreed
    bool block_size;                       // asks for it, and keeps to it
    bool other_context;                    // SET_META_CONTEXT asks for sim:other, too
    bool no_allocation;                    // and not for base:allocation
    uint16_t expected_flags;               // 0: not checked
    bool tls;                              // the step STARTTLS is meant seriously
    bool tls_required;                     // the listener insists on it
    enum tls_trouble trouble;

    // Requests: a script, or so many by chance.
    const struct scripted *script;
    unsigned n_script;
    unsigned requests, in_flight;
    struct range region; // which they keep to
    uint64_t longest;    // of what carries data, and in the compact formats of everything
    uint32_t align;
    unsigned huge_percent; // extended: how often a request without data is as long as the region
    uint16_t types;        // a bit for each command that is sent
    unsigned fast_percent; // of the WRITE_ZEROES
    bool conflicts;        // may overlap what others have in flight
    nstime think;          // at most, between two

    enum leave leave;
    bool slow_reader; // reads nothing for a second now and then
    // Misfortunes.
    uint64_t dies_sent, dies_received, cut_sent;
    enum death death;
    uint64_t stalls_sent;   // sends nothing more behind so many bytes; NEVER
    uint64_t stops_reading; // behind so many bytes; NEVER
    bool may_be_cut;        // the proxy may close, or answer with errors: something else went wrong
    bool lied_to;           // upstream says of data that it is zeroes
    bool sound;             // and when it closes, not inside a chunk
};

enum client_state {
    CLIENT_WAITS,
    CLIENT_GREETING,
    CLIENT_OPTION,
    CLIENT_TRANSMISSION,
    CLIENT_LEFT
};

struct sim_client {
    struct actor actor;
    struct sim_client *next;
    unsigned index;
    struct client_plan plan;
    struct oracle *oracle;
    struct sock *sock;
    void (*connect)(struct sim_client *c); // sets `sock`
    enum client_state state;

    struct line line;
    uint64_t queued; // bytes ever put to its `out`
    uint64_t before; // of them, in plaintext
    bool leaving;    // when it has said what there is
    nstime wakes;    // when it thinks of the next request, or reads on

    // Agreed.
    unsigned step;
    enum wire_format format;
    bool allocation, other, was_refused;
    uint32_t refusal; // the last one: an error of an option
    uint32_t allocation_id, other_id;
    const char *contexts_of;
    char listed[LISTED_MAX][32]; // names of the last LIST
    unsigned n_listed;
    uint64_t size;
    uint16_t flags;
    uint32_t minimum, maximum;
    bool has_block_size, info_seen;
    uint64_t info_size;
    uint16_t info_flags;

    uint64_t next_cookie;
    unsigned issued, in_flight, most_in_flight, unanswered, asked_huge;
    uint64_t answered, errors, refused; // replies; of them errors; of them ENOTSUP
    bool disc_sent, cut;                // it said so; the proxy closed before
};

struct sim_client *sim_client_new(unsigned index, const struct client_plan *plan,
                                  struct oracle *oracle, void (*connect)(struct sim_client *c));
void sim_client_free(struct sim_client *c);
struct client_plan sim_client_plan(void); // one that negotiates with GO and does nothing
void plan_steps(struct client_plan *p, unsigned n, const uint32_t *steps);

// The steps that agree on a format, then `n` more.
void plan_format(struct client_plan *p, enum wire_format f, unsigned n, const uint32_t *steps);
// What a client that goes these steps will speak.
enum wire_format plan_speaks(const struct client_plan *p);

// How many of its bytes, as it counts them in `queued`, the proxy can know.
uint64_t sim_client_sent(const struct sim_client *c);

// Between its files.
void sim_client_start_tls(struct sim_client *c);
void sim_client_next_option(struct sim_client *c);
void sim_client_say(struct sim_client *c, const void *p, size_t n);
bool sim_client_greeting(struct sim_client *c, struct bytes in, size_t *used);
bool sim_client_option_reply(struct sim_client *c, struct bytes in, size_t *used);
bool sim_client_can_issue(const struct sim_client *c);
void sim_client_issue(struct sim_client *c);
bool sim_client_reply(struct sim_client *c, struct bytes in, size_t *used);

#endif
