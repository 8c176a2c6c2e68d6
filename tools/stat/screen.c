// SPDX-License-Identifier: BSD-3-Clause
#include "screen.h"

#include "top.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 5.0 // seconds for one answer
#define ESCAPE   25  // ms that the rest of a key's sequence may take

static volatile sig_atomic_t stopped;

static void
stop(int signal)
{
    stopped = 1;
}

static attr_t
attributes_of(unsigned char paint, bool colour)
{
    switch ((enum paint)paint) {
    case HEADING: return A_BOLD;
    case SORTED: return A_BOLD | A_REVERSE;
    case STRONG: return A_BOLD;
    case FAINT: return A_DIM;
    case CHOSEN: return A_REVERSE;
    case GOOD: return colour ? (attr_t)COLOR_PAIR(GOOD) : A_NORMAL;
    case WARN: return colour ? (attr_t)COLOR_PAIR(WARN) : A_NORMAL;
    case BAD: return (colour ? (attr_t)COLOR_PAIR(BAD) : A_NORMAL) | A_BOLD;
    case PLAIN:
    case PAINTS_COUNT: break;
    }
    return A_NORMAL;
}

struct screen {
    struct top top;
    struct asking asking;
    const char *socket_path;
    double next; // when to ask again
    bool colour, utf8, waiting;
};

static void
draw_line(const struct screen *s, int row, const struct canvas_line *l)
{
    for (size_t i = 0; i < l->len; i++) {
        attrset((int)attributes_of(l->paint[i], s->colour));
        if (l->text[i] == CUT_MARK)
            mvaddstr(row, (int)i, s->utf8 ? "\xe2\x80\xa6" : "~");
        else
            mvaddch(row, (int)i, (chtype)l->text[i]);
    }
}

static void
draw(struct screen *s)
{
    struct canvas c = {0};
    top_draw(&s->top, &c, (size_t)LINES, (size_t)COLS, clock_now());
    erase();
    for (size_t i = 0; i < c.n; i++)
        draw_line(s, (int)i, &c.lines[i]);
    attrset(A_NORMAL);
    refresh();
    canvas_free(&c);
}

static int
translate(int key)
{
    static const struct {
        int curses, ours;
    } keys[] = {
        {KEY_UP, TOP_KEY_UP},      {KEY_DOWN, TOP_KEY_DOWN},       {KEY_PPAGE, TOP_KEY_PAGE_UP},
        {KEY_HOME, TOP_KEY_FIRST}, {KEY_NPAGE, TOP_KEY_PAGE_DOWN}, {KEY_END, TOP_KEY_LAST},
        {KEY_LEFT, TOP_KEY_LEFT},  {KEY_RIGHT, TOP_KEY_RIGHT},     {KEY_F(1), TOP_KEY_HELP},
        {KEY_F(10), TOP_KEY_QUIT},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (keys[i].curses == key)
            return keys[i].ours;
    return key;
}

// All keys that were pressed. False: quit.
static bool
take_keys(struct screen *s)
{
    for (int key; (key = getch()) != ERR;) { // KEY_RESIZE means nothing but to draw anew
        if (!top_press(&s->top, translate(key)))
            return false;
        if (s->next > clock_now() + s->top.every)
            s->next = clock_now() + s->top.every; // a quicker pace begins now
    }
    return true;
}

// Asks when it is time to, and takes what has come.
static void
talk(struct screen *s)
{
    struct answer a;
    double now = clock_now();
    if (!s->waiting && !s->top.paused && now >= s->next) {
        ask_begin(&s->asking, s->socket_path, or_die(ask_request("json")), PATIENCE);
        s->waiting = true;
        s->next = now + s->top.every;
    }
    if (!s->waiting || ask_goes_on(&s->asking, &a))
        return;
    s->waiting = false;
    top_take(&s->top, &a, clock_now(), time(NULL));
    answer_clear(&a);
}

// Milliseconds until there is something to do by itself.
static int
rest(const struct screen *s)
{
    double until = clock_now() + 1; // the age of a trouble is shown
    if (s->waiting && s->asking.fd < 0)
        until = clock_now() + ASK_AGAIN;
    else if (s->waiting && s->asking.until < until)
        until = s->asking.until;
    else if (!s->waiting && !s->top.paused && s->next < until)
        until = s->next;
    double left = until - clock_now();
    return left > 0 ? (int)(left * 1000) + 1 : 0;
}

static void
live(struct screen *s)
{
    for (;;) {
        struct pollfd p[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                             {.fd = s->waiting ? s->asking.fd : -1, .events = POLLIN}};
        talk(s);
        draw(s);
        p[1].fd = s->waiting ? s->asking.fd : -1;
        poll(p, 2, rest(s));
        if (stopped || !take_keys(s) || p[0].revents & (POLLHUP | POLLERR | POLLNVAL))
            return;
    }
}

// SIGWINCH is ncurses's own. Whoever ends us shall find the terminal as it was.
static void
set_signals(void)
{
    struct sigaction a = {.sa_handler = stop};
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGHUP, &a, NULL);
}

static bool
set_up(struct screen *s, SCREEN **terminal)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) {
        fputs("nbdzero-stat: top needs a terminal; elsewhere: nbdzero-stat show --watch\n", stderr);
        return false;
    }
    *terminal = newterm(NULL, stdout, stdin);
    if (!*terminal) {
        const char *name = getenv("TERM");
        fprintf(stderr, "nbdzero-stat: top: the terminal \"%s\" is not known here; set TERM\n",
                name ? name : "");
        return false;
    }
    set_escdelay(ESCAPE);
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    curs_set(0);
    s->colour = s->colour && has_colors() && start_color() == OK;
    if (s->colour) {
        use_default_colors();
        init_pair(GOOD, COLOR_GREEN, -1);
        init_pair(WARN, COLOR_YELLOW, -1);
        init_pair(BAD, COLOR_RED, -1);
    }
    return true;
}

int
screen_run(const char *socket_path, double every, bool colour, bool utf8)
{
    SCREEN *terminal;
    struct screen s = {.socket_path = socket_path, .colour = colour, .utf8 = utf8};
    if (!set_up(&s, &terminal))
        return 1;
    set_signals();
    top_begin(&s.top, every);
    live(&s);
    endwin();
    delscreen(terminal);
    if (s.waiting)
        ask_stop(&s.asking);
    top_end(&s.top);
    return 0;
}
