// SPDX-License-Identifier: BSD-3-Clause
// A request in words, when it is over: the lines of level debug.
#include "session.h"

#include <stdio.h>
#include <wire/names.h>

// "FUA NO_HOLE", in the order of the bits; those that have no name as a number.
static void
flag_words(char *text, size_t cap, unsigned flags)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {
        {NBD_CMD_FLAG_FUA, "FUA"},
        {NBD_CMD_FLAG_NO_HOLE, "NO_HOLE"},
        {NBD_CMD_FLAG_DF, "DF"},
        {NBD_CMD_FLAG_REQ_ONE, "REQ_ONE"},
        {NBD_CMD_FLAG_FAST_ZERO, "FAST_ZERO"},
        {NBD_CMD_FLAG_PAYLOAD_LEN, "PAYLOAD_LEN"},
    };
    size_t n = (size_t)snprintf(text, cap, flags ? ", flags" : ", no flags");
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (flags & names[i].bit)
            n += (size_t)snprintf(text + n, cap - n, " %s", names[i].name);
        flags &= ~names[i].bit;
    }
    if (flags)
        snprintf(text + n, cap - n, " 0x%x", flags);
}

// Not inline: whoever does not ask for these lines pays for one comparison.
void __attribute__((noinline)) request_log_(const struct session *s, const struct request *r,
                                            uint32_t error, nstime began, const char *by)
{
    char flags[80], command[24] = "";
    nstime now = session_now(s), took = now > began ? now - began : 0;
    flag_words(flags, sizeof flags, r->flags);
    if (!nbd_command_info(r->type))
        snprintf(command, sizeof command, "command %u", r->type);
    session_log(s, LOG_LEVEL_DEBUG,
                "%s: offset %llu, length %llu%s, cookie 0x%llx: %s%s in %llu.%03llu ms",
                *command ? command : nbd_command_name(r->type), (unsigned long long)r->offset,
                (unsigned long long)r->length, flags, (unsigned long long)r->cookie,
                nbd_error_name(error), by, (unsigned long long)(took / NS_PER_MS),
                (unsigned long long)(took % NS_PER_MS / NS_PER_US));
}
