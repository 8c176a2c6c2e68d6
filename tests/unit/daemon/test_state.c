// SPDX-License-Identifier: BSD-3-Clause
// What is known of exports, in files: there and back, damaged, shared, on full disks.
#include "state_file.h"
#include "state_keeper.h"
#include "state_text.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW  (1000 * NS_PER_SEC)
#define SIZE (UINT64_C(64) << 20)

static char dir[64];

static void
make_dir(void)
{
    snprintf(dir, sizeof dir, "/tmp/nbdzero-test-XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
}

static void
remove_dir(void)
{
    char command[192];
    snprintf(command, sizeof command, "chmod 700 '%s'; rm -r '%s'", dir, dir);
    cr_assert(system(command) == 0);
}

TestSuite(state_files, .init = make_dir, .fini = remove_dir);

static const struct export_state known = {
    .address = {(const uint8_t *)"\x00\xff here", 7},
    .name = {(const uint8_t *)"d\"i\nsk", 6},
    .size = SIZE,
    .flags = 0x54d,
    .pin = ZERO_SLOW,
    .known = {true, false},
    .classes = {{.slow = true,
                 .slow_age = 3 * NS_PER_SEC,
                 .slow_left = 57 * NS_PER_SEC,
                 .refuse_for = 120 * NS_PER_SEC,
                 .has_model = true,
                 .model = {{1e5, 1.25}, {2e5, 0.75}, 0.6},
                 .samples = 9}},
};

static char *
path_of(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void
put(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");
    cr_assert(f != NULL);
    fputs(text, f);
    fclose(f);
}

static bool
is_there(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static struct export *
open_known(struct registry *r)
{
    struct export_key key = {.upstream = "u",
                             .address = known.address,
                             .name = known.name,
                             .size = known.size,
                             .flags = known.flags};
    return export_open(r, &key, NOW);
}

Test(state_text, there_and_back)
{
    struct export_state s;
    int64_t saved;
    void *memory;
    char err[256], *text = state_text(&known, 1234567890);
    cr_assert(state_text_parse(text, strlen(text), &s, &saved, &memory, err, sizeof err), "%s",
              err);
    cr_assert(bytes_equal(s.address, known.address) && bytes_equal(s.name, known.name));
    cr_assert(saved == 1234567890 && s.size == known.size && s.flags == known.flags);
    cr_assert(s.pin == ZERO_SLOW && s.known[0] && s.known[1] == false);
    cr_assert(memcmp(&s.classes[0].model, &known.classes[0].model, sizeof s.classes[0].model) == 0);
    cr_assert(s.classes[0].slow && s.classes[0].slow_left == 57 * NS_PER_SEC);
    cr_assert(s.classes[0].samples == 9 && s.classes[0].refuse_for == 120 * NS_PER_SEC);
    free(memory);
    free(text);
}

// Every byte of a good file changed, and every length of it: never more than an error.
Test(state_text, damaged_at_every_byte)
{
    char err[256], *text = state_text(&known, 1);
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        for (int change = 1; change < 256; change <<= 1) {
            struct export_state s;
            int64_t saved;
            void *memory;
            text[i] = (char)(text[i] ^ change);
            if (state_text_parse(text, len, &s, &saved, &memory, err, sizeof err))
                free(memory);
            else
                cr_assert(memory == NULL);
            text[i] = (char)(text[i] ^ change);
        }
        struct export_state s;
        int64_t saved;
        void *memory;
        cr_assert_not(state_text_parse(text, i, &s, &saved, &memory, err, sizeof err));
    }
    free(text);
}

Test(state_text, says_what_makes_no_sense)
{
    static const char *const cases[][2] = {
        {"", "not JSON"},
        {"[]", "version"},
        {"{\"version\": 2}", "version"},
        {"{\"version\": 1}", "saved"},
        {"{\"version\": 1, \"saved\": 1, \"address\": \"0\"}", "address"},
        {"{\"version\": 1, \"saved\": 1, \"address\": \"zz\"}", "address"},
        {"{\"version\": 1, \"saved\": 1, \"address\": \"\", \"export\": 1}", "export"},
        {"{\"version\": 1, \"saved\": 1, \"address\": \"\", \"export\": \"\", \"size\": -1}",
         "size"},
        {"{\"version\": 1, \"saved\": 1, \"address\": \"\", \"export\": \"\", \"size\": 1, "
         "\"flags\": 65536}",
         "flags"},
        {"{\"version\": 1, \"saved\": 1, \"address\": \"\", \"export\": \"\", \"size\": 1, "
         "\"flags\": 1, \"pin\": \"quick\"}",
         "pin"},
        {"{\"version\": 1, \"saved\": 1, \"address\": \"\", \"export\": \"\", \"size\": 1, "
         "\"flags\": 1, \"pin\": \"unknown\", \"plain\": {\"slow\": 1}}",
         "plain"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct export_state s;
        int64_t saved;
        void *memory;
        char err[256];
        cr_assert_not(state_text_parse(cases[i][0], strlen(cases[i][0]), &s, &saved, &memory, err,
                                       sizeof err));
        cr_assert(strstr(err, cases[i][1]) != NULL, "%s: %s", cases[i][0], err);
    }
}

static void
save_a_pin(void)
{
    char err[256];
    struct registry *r = registry_new("", 1);
    struct export *e = open_known(r);
    struct state_keeper *k = state_keeper_start(r, dir, err, sizeof err);
    cr_assert(k != NULL, "%s", err);
    cr_assert(registry_order(r, known.address, known.name, EXPORT_PIN_SLOW, NOW));
    cr_assert(state_keeper_stop(k, 20));
    export_close(e, false);
    registry_free(r);
}

Test(state_files, saved_and_restored)
{
    char name[STATE_NAME_MAX];
    struct stat st;
    save_a_pin();
    state_name(name, known.address, known.name);
    cr_assert(stat(path_of(name), &st) == 0 && (st.st_mode & 0777) == 0600);
    struct registry *r = registry_new("", 1);
    state_restore(r, dir, NOW);
    struct export *e = open_known(r);
    cr_assert(export_pin(e) == ZERO_SLOW);
    cr_assert(state_counts().restored == 1 && state_counts().damaged == 0);
    export_close(e, false);
    registry_free(r);
}

Test(state_files, what_is_not_worth_saving_any_more_is_removed)
{
    char err[256], name[STATE_NAME_MAX];
    save_a_pin();
    state_name(name, known.address, known.name);
    struct registry *r = registry_new("", 1);
    state_restore(r, dir, NOW);
    struct export *e = open_known(r);
    struct state_keeper *k = state_keeper_start(r, dir, err, sizeof err);
    cr_assert(registry_order(r, known.address, known.name, EXPORT_UNPIN, NOW));
    cr_assert(state_keeper_stop(k, 20));
    cr_assert_not(is_there(name));
    export_close(e, false);
    registry_free(r);
}

Test(state_files, damaged_ones_are_set_aside_and_fail_nothing)
{
    struct registry *r = registry_new("", 1);
    char *text = state_text(&known, 1);
    put("verdict-0000000000000000.json", "{");
    put("verdict-0000000000000001.json", text); // of another export
    put("locks", "");
    put("verdict-x.json.1234", "what a killed process left");
    state_restore(r, dir, NOW);
    cr_assert(is_there("verdict-0000000000000000.json.damaged"));
    cr_assert(is_there("verdict-0000000000000001.json.damaged"));
    cr_assert_not(is_there("verdict-0000000000000000.json"));
    cr_assert(is_there("locks"));
    cr_assert(state_counts().damaged == 2 && state_counts().restored == 0);
    free(text);
    registry_free(r);
}

Test(state_files, longer_than_any_of_ours)
{
    struct registry *r = registry_new("", 1);
    char *long_text = calloc(1, STATE_TEXT_MAX + 100);
    memset(long_text, ' ', STATE_TEXT_MAX + 99);
    put("verdict-0000000000000000.json", long_text);
    state_restore(r, dir, NOW);
    cr_assert(state_counts().damaged == 1);
    free(long_text);
    registry_free(r);
}

Test(state_files, a_directory_that_is_not_there_is_no_error)
{
    struct registry *r = registry_new("", 1);
    state_restore(r, "/nonexistent/dir", NOW);
    state_restore(r, "", NOW);
    cr_assert(state_counts().restored == 0);
    registry_free(r);
}

Test(state_files, a_directory_that_cannot_be_written_is_told_and_survived)
{
    char err[256];
    struct registry *r = registry_new("", 1);
    struct export *e = open_known(r);
    struct state_keeper *k = state_keeper_start(r, "/proc/nowhere", err, sizeof err);
    cr_assert(registry_order(r, known.address, known.name, EXPORT_PIN_FAST, NOW));
    cr_assert(state_keeper_stop(k, 20));
    cr_assert(state_counts().unsaved == 1);
    export_close(e, false);
    registry_free(r);
}

static void
put_as(const struct export_state *s)
{
    char name[STATE_NAME_MAX], *text = state_text(s, 1);
    state_name(name, s->address, s->name);
    put(name, text);
    free(text);
}

// A pin beside nonsense is still an order, and nonsense alone is nothing that was restored.
Test(state_files, well_formed_nonsense_is_dropped_and_counted)
{
    struct export_state senseless = known;
    struct registry *r = registry_new("", 1);
    senseless.classes[0].model.ratio = -1;
    put_as(&senseless);
    senseless.name = (struct bytes){(const uint8_t *)"other", 5};
    senseless.pin = ZERO_UNKNOWN;
    put_as(&senseless);
    state_restore(r, dir, NOW);
    cr_assert(state_counts().dropped == 2 && state_counts().damaged == 0);
    cr_assert(state_counts().restored == 1);
    struct export *e = open_known(r);
    cr_assert(export_pin(e) == ZERO_SLOW);
    export_close(e, false);
    registry_free(r);
}

Test(state_files, what_somebody_is_writing_is_no_orphan)
{
    struct registry *r = registry_new("", 1);
    put("verdict-1.json.aBcDeF", "{");
    put("verdict-2.json.aBcDeF", "{");
    put("verdict-3.json.damaged", "{");
    int fd = open(path_of("verdict-1.json.aBcDeF"), O_RDONLY);
    cr_assert(fd >= 0 && flock(fd, LOCK_EX) == 0);
    state_restore(r, dir, NOW);
    cr_assert(is_there("verdict-1.json.aBcDeF") && is_there("verdict-3.json.damaged"));
    cr_assert_not(is_there("verdict-2.json.aBcDeF"));
    close(fd);
    registry_free(r);
}

Test(state_files, a_file_is_replaced_whole_or_not_at_all)
{
    put("verdict-1.json", "old");
    cr_assert(mkdir(path_of("verdict-2.json"), 0700) == 0);
    cr_assert(state_file_replace(dir, "verdict-1.json", "new"));
    cr_assert_not(state_file_replace(dir, "verdict-2.json", "new"));
    char command[200];
    snprintf(command, sizeof command, "test \"$(cat %s/verdict-1.json)\" = new", dir);
    cr_assert(system(command) == 0);
    snprintf(command, sizeof command, "test \"$(ls %s | wc -l)\" = 2", dir);
    cr_assert(system(command) == 0, "something is left beside them");
}

static void
stop_soon(void *ctx, const struct export_description *d)
{
    (void)d;
    cr_assert_not(state_keeper_stop(ctx, 1), "it waits for what is held here");
}

// An upgrade must not wait for a disk that hangs; here it is the registry that does.
Test(state_files, one_that_is_stuck_is_left_and_goes_on)
{
    char err[256], name[STATE_NAME_MAX];
    struct registry *r = registry_new("", 1);
    struct export *e = open_known(r);
    struct state_keeper *k = state_keeper_start(r, dir, err, sizeof err);
    registry_describe(r, NOW, stop_soon, k);
    cr_assert(registry_order(r, known.address, known.name, EXPORT_PIN_SLOW, NOW));
    state_keeper_hurry(k);
    state_name(name, known.address, known.name);
    for (int i = 0; i < 1000 && !is_there(name); i++)
        usleep(10000);
    cr_assert(is_there(name), "it still saves");
    cr_assert(registry_order(r, known.address, known.name, EXPORT_UNPIN, NOW));
    state_keeper_hurry(k);
    for (int i = 0; i < 1000 && is_there(name); i++)
        usleep(10000);
    cr_assert_not(is_there(name), "and again");
    cr_assert(state_keeper_stop(k, 5));
    export_close(e, false);
    registry_free(r);
}
