// SPDX-License-Identifier: BSD-3-Clause
#include "state_keeper.h"

#include "memory.h"
#include "state_file.h"
#include "state_text.h"

#include <base/log.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SAVE_EVERY 5    // seconds
#define FILES_MOST 4096 // of an earlier process: a directory of millions must not fill the memory

static struct {
    atomic_uint restored, damaged, dropped, unsaved;
    atomic_ullong failures;
    atomic_int error; // errno
} counts;

struct state_counts
state_counts(void)
{
    return (struct state_counts){.restored = atomic_load(&counts.restored),
                                 .damaged = atomic_load(&counts.damaged),
                                 .dropped = atomic_load(&counts.dropped),
                                 .unsaved = atomic_load(&counts.unsaved),
                                 .failures = atomic_load(&counts.failures),
                                 .error = atomic_load(&counts.error)};
}

// Back ------------------------------------------------------------------------------------

static bool
is_ours(const char *name)
{
    size_t len = strlen(name);
    return strncmp(name, "verdict-", 8) == 0 && len > 5 && strcmp(name + len - 5, ".json") == 0;
}

// The text, malloc'd; NULL: it cannot be read, errno says why.
static char *
read_file(int dir, const char *name, size_t *len)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char *text = fd < 0 ? NULL : malloc(STATE_TEXT_MAX + 1);
    ssize_t n = 1;
    *len = 0;
    while (text && n > 0 && *len <= STATE_TEXT_MAX) {
        n = read(fd, text + *len, STATE_TEXT_MAX + 1 - *len);
        *len += n > 0 ? (size_t)n : 0;
    }
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (text && n < 0) {
        free(text);
        text = NULL;
    }
    errno = error;
    return text;
}

static void
set_aside(int dir, const char *path, const char *name, const char *why)
{
    char aside[NAME_MAX + 16];
    snprintf(aside, sizeof aside, "%s.damaged", name);
    bool moved = renameat(dir, name, dir, aside) == 0;
    log_warn("state-dir: %s/%s is damaged: %s; %s, what it knew is measured anew", path, name, why,
             moved ? "set aside as .damaged" : "it cannot be set aside");
    atomic_fetch_add(&counts.damaged, 1);
}

// Well-formed, and yet nothing that could have been measured. What an administrator ordered is
// kept.
static void
drop_senseless(struct export_state *s, const char *path, const char *name)
{
    static const char *const classes[2] = {"", " without holes"};
    for (int i = 0; i < 2; i++) {
        if (!s->known[i] || zero_saved_is_sensible(&s->classes[i]))
            continue;
        s->known[i] = false;
        log_warn("state-dir: %s/%s: what it says of zeroes%s makes no sense: dropped, it is "
                 "measured anew",
                 path, name, classes[i]);
        atomic_fetch_add(&counts.dropped, 1);
    }
}

static void
take(struct registry *r, const struct export_state *s, const char *path, const char *name,
     nstime ago, nstime now)
{
    if (!s->known[0] && !s->known[1] && s->pin == ZERO_UNKNOWN)
        return;
    if (registry_restore(r, s, ago, now))
        atomic_fetch_add(&counts.restored, 1);
    else {
        log_warn("state-dir: %s/%s is not used: out of memory", path, name);
        atomic_fetch_add(&counts.dropped, 1);
    }
}

static void
restore_one(struct registry *r, int dir, const char *path, const char *name, nstime now)
{
    struct export_state s;
    int64_t saved;
    void *memory;
    size_t len;
    char err[256], right[STATE_NAME_MAX], *text = read_file(dir, name, &len);
    if (!text) {
        log_warn("state-dir: %s/%s cannot be read: %s", path, name, strerror(errno));
        atomic_fetch_add(&counts.dropped, 1);
        return;
    }
    if (!state_text_parse(text, len, &s, &saved, &memory, err, sizeof err)) {
        set_aside(dir, path, name, len > STATE_TEXT_MAX ? "too long" : err);
        free(text);
        return;
    }
    free(text);
    state_name(right, s.address, s.name);
    int64_t ago = (int64_t)time(NULL) - saved;
    if (strcmp(right, name) != 0) {
        set_aside(dir, path, name, "it is of another export");
    } else {
        drop_senseless(&s, path, name);
        take(r, &s, path, name, ago > 0 ? (nstime)ago * NS_PER_SEC : 0, now);
    }
    free(memory);
}

void
state_restore(struct registry *r, const char *path, nstime now)
{
    DIR *d = *path ? opendir(path) : NULL;
    unsigned n = 0, left = 0;
    if (!d)
        return; // that it cannot be used has been said
    for (struct dirent *e; (e = readdir(d));) {
        state_file_orphaned(dirfd(d), e->d_name);
        if (!is_ours(e->d_name))
            continue;
        if (n++ < FILES_MOST)
            restore_one(r, dirfd(d), path, e->d_name, now);
        else
            left++;
    }
    if (left)
        log_warn("state-dir: %s has more than %d files of verdicts: %u are left alone", path,
                 FILES_MOST, left);
    atomic_fetch_add(&counts.dropped, left);
    closedir(d);
}

// Out -------------------------------------------------------------------------------------

struct save {
    struct save *next;
    struct export_state state; // its bytes are in `bytes`
    bool worth;                // else there is nothing to save any more
    uint8_t bytes[];
};

struct gathered {
    struct save *list;
    unsigned lost; // for want of memory
};

struct state_keeper {
    struct registry *registry;
    char *dir;
    uint64_t changes; // saved so far
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    bool stop, hurry, ended;
    int trouble; // errno of what was told last; 0: all is saved
};

// Under the registry's mutexes, for which I/O may be waiting: copies, and no more.
static void
gather(void *ctx, const struct export_state *s, bool worth)
{
    struct gathered *g = ctx;
    struct save *one = malloc(sizeof *one + s->address.len + s->name.len + 1);
    if (!one) {
        g->lost++; // what the file says stays until the next time
        return;
    }
    *one = (struct save){.state = *s, .worth = worth, .next = g->list};
    uint8_t *name = one->bytes + s->address.len;
    if (s->address.len)
        memcpy(one->bytes, s->address.p, s->address.len);
    if (s->name.len)
        memcpy(name, s->name.p, s->name.len);
    one->state.address = bytes_of(one->bytes, s->address.len);
    one->state.name = bytes_of(name, s->name.len);
    g->list = one;
}

// False: errno says why not.
static bool
write_one(const char *dir, const struct save *s)
{
    char name[STATE_NAME_MAX];
    state_name(name, s->state.address, s->state.name);
    if (!s->worth)
        return state_file_remove(dir, name);
    char *text = state_text(&s->state, (int64_t)time(NULL) - (int64_t)(s->state.age / NS_PER_SEC));
    bool good = text && state_file_replace(dir, name, text);
    int error = text ? errno : ENOMEM;
    free(text);
    errno = error;
    return good;
}

// Told when it begins, changes, and ends: it is tried every few seconds.
static void
tell(struct state_keeper *k, unsigned failed, int error)
{
    if (failed && error != k->trouble)
        log_warn(
            "state-dir: %s: verdicts of %u exports cannot be saved: %s; until they can they last "
            "as long as this process: %s",
            k->dir, failed, strerror(error), state_file_remedy(error));
    else if (!failed && k->trouble)
        log_info("state-dir: %s: verdicts are saved again", k->dir);
    k->trouble = failed ? error : 0;
}

// Returns how many could not be saved.
static unsigned
write_saves(struct state_keeper *k, const struct gathered *g)
{
    struct save *list = g->list;
    unsigned failed = g->lost;
    int error = failed ? ENOMEM : 0;
    while (list) {
        struct save *s = list;
        list = s->next;
        if (!write_one(k->dir, s)) {
            error = errno;
            failed++;
        }
        free(s);
    }
    tell(k, failed, error);
    atomic_store(&counts.unsaved, failed);
    atomic_fetch_add(&counts.failures, failed);
    if (failed)
        atomic_store(&counts.error, error);
    return failed;
}

static void
save_changes(struct state_keeper *k)
{
    struct gathered g = {0};
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); // as rings have it
    nstime now = (nstime)t.tv_sec * NS_PER_SEC + (nstime)t.tv_nsec;
    uint64_t changes = registry_save(k->registry, k->changes, now, gather, &g);
    if (!g.list && !g.lost)
        return;
    unsigned failed = write_saves(k, &g);
    if (!failed)
        k->changes = changes;
}

static bool
wait_a_while(struct state_keeper *k)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += SAVE_EVERY;
    pthread_mutex_lock(&k->mutex);
    int rc = 0;
    while (!k->stop && !k->hurry && rc == 0)
        rc = pthread_cond_timedwait(&k->wake, &k->mutex, &until);
    bool stop = k->stop;
    k->hurry = false;
    pthread_mutex_unlock(&k->mutex);
    return !stop;
}

// Unless whoever wanted that could not wait for it.
static bool
ends(struct state_keeper *k)
{
    pthread_mutex_lock(&k->mutex);
    bool ended = k->ended = k->stop;
    pthread_cond_signal(&k->done);
    pthread_mutex_unlock(&k->mutex);
    return ended;
}

static void *
keep(void *ctx)
{
    struct state_keeper *k = ctx;
    do {
        while (wait_a_while(k))
            save_changes(k);
        save_changes(k);
    } while (!ends(k));
    return NULL;
}

static void
keeper_free(struct state_keeper *k)
{
    pthread_cond_destroy(&k->wake);
    pthread_cond_destroy(&k->done);
    pthread_mutex_destroy(&k->mutex);
    free(k->dir);
    free(k);
}

struct state_keeper *
state_keeper_start(struct registry *r, const char *dir, char *err, size_t errlen)
{
    struct state_keeper *k = need_zeroed(1, sizeof *k);
    pthread_condattr_t attr;
    k->registry = r;
    k->dir = need_copy(dir);
    pthread_mutex_init(&k->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&k->wake, &attr);
    pthread_cond_init(&k->done, &attr);
    pthread_condattr_destroy(&attr);
    int rc = pthread_create(&k->thread, NULL, keep, k);
    if (rc == 0) {
        pthread_setname_np(k->thread, "state");
        return k;
    }
    snprintf(err, errlen, "cannot start the thread that saves state: %s", strerror(rc));
    keeper_free(k);
    return NULL;
}

void
state_keeper_hurry(struct state_keeper *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->mutex);
    k->hurry = true;
    pthread_cond_signal(&k->wake);
    pthread_mutex_unlock(&k->mutex);
}

bool
state_keeper_stop(struct state_keeper *k, unsigned seconds)
{
    struct timespec until;
    if (!k)
        return true;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&k->mutex);
    int rc = 0;
    k->stop = true;
    pthread_cond_signal(&k->wake);
    while (!k->ended && rc == 0)
        rc = pthread_cond_timedwait(&k->done, &k->mutex, &until);
    bool ended = k->stop = k->ended;
    pthread_mutex_unlock(&k->mutex);
    if (!ended)
        return false;
    pthread_join(k->thread, NULL);
    keeper_free(k);
    return true;
}
