// SPDX-License-Identifier: BSD-3-Clause
#include "unit_filter.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

// All groups, as systemd-analyze prints them: "@name" at the start of a line, and below it,
// indented, system calls, other groups, and comments.
static char *groups;

static bool
load_groups(void)
{
    size_t n = 0;
    FILE *f = popen("systemd-analyze syscall-filter --no-pager", "r");
    groups = calloc(1, 1 << 20);
    if (f && groups)
        n = fread(groups, 1, (1 << 20) - 1, f);
    if (!f || pclose(f) != 0 || !n) {
        fputs("under-unit: systemd-analyze syscall-filter says nothing\n", stderr);
        return false;
    }
    return true;
}

static void
calls_remove(struct calls *c, const char *name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (strcmp(c->names[i], name) == 0)
            c->names[i--] = c->names[--c->n];
    }
}

static bool
calls_change(struct calls *c, const char *name, bool add)
{
    calls_remove(c, name);
    if (!add)
        return true;
    if (c->n == CALLS_MAX) {
        fputs("under-unit: too many system calls\n", stderr);
        return false;
    }
    c->names[c->n++] = strdup(name);
    return true;
}

static bool change(struct calls *c, const char *name, bool add);

static bool
change_group(struct calls *c, const char *name, bool add)
{
    char heading[64], word[64];
    snprintf(heading, sizeof heading, "\n%.60s\n", name);
    const char *at = strstr(groups, heading);
    if (!at && strncmp(groups, heading + 1, strlen(heading) - 1) == 0)
        at = groups - 1;
    if (!at) {
        fprintf(stderr, "under-unit: no group of system calls is named %s\n", name);
        return false;
    }
    for (at += strlen(heading); *at == ' '; at = strchr(at, '\n') + 1) {
        if (sscanf(at, " %63s", word) == 1 && word[0] != '#' && !change(c, word, add))
            return false;
        if (!strchr(at, '\n'))
            break;
    }
    return true;
}

static bool
change(struct calls *c, const char *name, bool add)
{
    return name[0] == '@' ? change_group(c, name, add) : calls_change(c, name, add);
}

// systemd.exec(5): the first line decides that it is a list of what is allowed; "~" takes away
// again.
static bool
read_calls(struct unit *u, char *value)
{
    bool add = value[0] != '~';
    if (!add && !u->calls.n) {
        fputs("under-unit: a list of forbidden calls is not understood\n", stderr);
        return false;
    }
    if (add && !u->calls.n && !change(&u->calls, "@default", true))
        return false;
    for (char *word = strtok(value + !add, " "); word; word = strtok(NULL, " ")) {
        if (!change(&u->calls, word, add))
            return false;
    }
    return true;
}

static bool
read_families(struct unit *u, char *value)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {{"AF_UNIX", AF_UNIX}, {"AF_INET", AF_INET}, {"AF_INET6", AF_INET6}};
    for (char *word = strtok(value, " "); word; word = strtok(NULL, " ")) {
        unsigned i = 0;
        while (i < sizeof known / sizeof known[0] && strcmp(known[i].name, word) != 0)
            i++;
        if (i == sizeof known / sizeof known[0] || u->n_families == FAMILIES_MAX) {
            fprintf(stderr, "under-unit: RestrictAddressFamilies: %s is not understood\n", word);
            return false;
        }
        u->families[u->n_families++] = known[i].number;
    }
    return true;
}

static bool
read_switch(bool *to, const char *key, const char *value)
{
    *to = strcmp(value, "yes") == 0;
    if (!*to)
        fprintf(stderr, "under-unit: %s=%s is not understood\n", key, value);
    return *to;
}

static bool
read_key(struct unit *u, const char *key, char *value)
{
    const struct {
        const char *key;
        bool *to;
    } switches[] = {
        {"RestrictNamespaces", &u->no_namespaces}, {"MemoryDenyWriteExecute", &u->no_write_execute},
        {"RestrictRealtime", &u->no_realtime},     {"RestrictSUIDSGID", &u->no_suid},
        {"LockPersonality", &u->lock_personality},
    };
    if (strcmp(key, "SystemCallFilter") == 0)
        return read_calls(u, value);
    if (strcmp(key, "RestrictAddressFamilies") == 0)
        return read_families(u, value);
    if (strcmp(key, "SystemCallErrorNumber") == 0) {
        u->error = strcmp(value, "EPERM") == 0 ? EPERM : 0;
        return u->error;
    }
    if (strcmp(key, "SystemCallArchitectures") == 0) {
        u->native_only = strcmp(value, "native") == 0;
        return u->native_only;
    }
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        if (strcmp(key, switches[i].key) == 0)
            return read_switch(switches[i].to, key, value);
    }
    return true;
}

bool
unit_read(struct unit *u, const char *path)
{
    char line[1024];
    bool fine = true;
    *u = (struct unit){.error = 0};
    FILE *f = fopen(path, "r");
    if (!f) {
        fprintf(stderr, "under-unit: %s: %s\n", path, strerror(errno));
        return false;
    }
    fine = load_groups();
    while (fine && fgets(line, sizeof line, f)) {
        char *value = strchr(line, '=');
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '#' || line[0] == '[' || !value)
            continue;
        *value++ = '\0';
        fine = read_key(u, line, value);
        if (!fine)
            fprintf(stderr, "under-unit: %s: %s is not understood\n", path, line);
    }
    fclose(f);
    return fine;
}
