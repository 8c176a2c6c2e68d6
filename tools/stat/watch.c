// SPDX-License-Identifier: BSD-3-Clause
#include "watch.h"

#include "ask.h"
#include "table.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 10.0 // seconds

// Of a terminal's control sequences:
#define HOME        "\x1b[H"
#define REST_EMPTY  "\x1b[J"
#define LINE_EMPTY  "\x1b[K"
#define SCREEN_ROWS 24 // where the terminal does not tell

bool
watch_colour(const struct command_line *a)
{
    const char *off = getenv("NO_COLOR"), *term = getenv("TERM");
    return !a->no_colour && !(off && *off) && isatty(STDOUT_FILENO) && term &&
           strcmp(term, "dumb") != 0;
}

bool
watch_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

struct watched {
    const struct command_line *arguments;
    view_function *view;
    struct sample now, before;
    bool in_place; // a terminal, redrawn
    bool begun;    // something was printed
    struct ink ink;
};

static size_t
terminal_rows(void)
{
    struct winsize size;
    bool told = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row;
    return told ? size.ws_row : SCREEN_ROWS;
}

static void
print(struct watched *w, struct canvas *c)
{
    if (w->in_place) {
        size_t rows = terminal_rows();
        canvas_clip(c, rows > 1 ? rows - 1 : 1, table_width());
        fputs(HOME, stdout);
    } else if (w->begun) {
        fputs("\n", stdout);
    }
    canvas_print(c, stdout, &w->ink);
    if (w->in_place)
        fputs(REST_EMPTY, stdout);
    fflush(stdout);
    w->begun = true;
}

// What is wrong belongs to stderr, but for a screen that is redrawn.
static void
say(struct watched *w, char *error)
{
    if (!w->in_place) {
        fprintf(stderr, "nbdzero-stat: %s\n", table_safe(error));
        return;
    }
    struct canvas c = {0};
    canvas_line(&c);
    canvas_put(&c, BAD, "%s", error);
    canvas_line(&c);
    canvas_put(&c, PLAIN, "Trying again.");
    print(w, &c);
    canvas_free(&c);
}

// One look; 0 or 1.
static int
look(struct watched *w)
{
    struct answer a;
    ask(w->arguments->socket_path, ask_request("json"), PATIENCE, &a);
    if (a.result) {
        struct canvas c = {0};
        double at = clock_now();
        if (!sample_is_known(&w->now, at, a.age))
            sample_take(&w->now, &w->before, a.result, at - a.age, time(NULL));
        struct look l = {.now = &w->now, .before = &w->before, .width = table_width()};
        w->view(&l, &c);
        print(w, &c);
        canvas_free(&c);
    } else {
        say(w, a.error);
    }
    answer_clear(&a);
    return a.kind != ANSWER_RESULT;
}

static void
rest_until(double then)
{
    double left = then - clock_now();
    struct timespec t = {.tv_sec = (time_t)left};
    t.tv_nsec = (long)((left - (double)t.tv_sec) * 1e9);
    if (left > 0)
        nanosleep(&t, NULL);
}

int
watch(const struct command_line *a, view_function *view)
{
    struct watched w = {.arguments = a, .view = view};
    w.in_place = a->every > 0 && isatty(STDOUT_FILENO);
    w.ink = (struct ink){watch_colour(a), watch_utf8(), w.in_place ? LINE_EMPTY "\n" : "\n"};
    double next = clock_now();
    int code = look(&w);
    while (a->every > 0 && !ferror(stdout)) {
        next += a->every;
        if (next < clock_now()) // it took longer than that, or we were stopped for a while
            next = clock_now();
        rest_until(next);
        code = look(&w);
    }
    sample_free(&w.now);
    sample_free(&w.before);
    return code;
}
