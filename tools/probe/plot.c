// SPDX-License-Identifier: BSD-3-Clause
#include "plot.h"

#include "votes.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <units.h>

extern char **environ;

// gnuplot -----------------------------------------------------------------------------------

// With nothing of the user's own, and with signals as a child expects them.
static bool
spawn(char *option, int in, int out, pid_t *pid)
{
    char name[] = "gnuplot", own_settings_only[] = "-d";
    char *argv[] = {name, own_settings_only, option, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int error = posix_spawnp(pid, argv[0], &files, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return error == 0;
}

static bool
ended_well(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// To be known before anything is measured. Nothing is left behind: the measurement may fail.
static bool
writable(const char *path, char *err, size_t errlen)
{
    bool is_new = access(path, F_OK) != 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        snprintf(err, errlen, "%s: %s", path, strerror(errno));
        return false;
    }
    close(fd);
    if (is_new)
        unlink(path);
    return true;
}

bool
plot_possible(const char *path, char *err, size_t errlen)
{
    pid_t pid;
    char version[] = "--version";
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    bool good = null >= 0 && spawn(version, null, null, &pid) && ended_well(pid);
    if (null >= 0)
        close(null);
    if (!good)
        snprintf(err, errlen, "--plot needs gnuplot (Debian: gnuplot-nox)");
    return good && writable(path, err, errlen);
}

// The axis of sizes: a little more than the levels.
#define LEFT_END (48u << 10)
#define MIDDLE   (1u << 20)

static unsigned
right_end(const struct result *r)
{
    return r->asked->mode == ASK_SCRATCH ? 88u << 20 : 22u << 20;
}

// The script --------------------------------------------------------------------------------

// Text for people inside "": names and texts of strangers must not become commands.
static void
put_text(FILE *to, const char *text)
{
    for (; *text; text++)
        fputc(isalnum((unsigned char)*text) || strchr(" .,:;/-_+=()%<>[]?&*'", *text) ? *text : '?',
              to);
}

// As put_text(), in lines.
static void
put_wrapped(FILE *to, const char *text, size_t width)
{
    while (strlen(text) > width) {
        size_t n = width;
        while (n > 0 && text[n] != ' ')
            n--;
        if (n == 0)
            n = width;
        char line[200];
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        put_text(to, line);
        fputs("\\n", to);
        text += n + (text[n] == ' ');
    }
    put_text(to, text);
}

// Size; write and zero with their flushes, in ms; the flushes' share in percent.
static void
put_data(FILE *to, const struct probe *p, unsigned i)
{
    fprintf(to, "$class%u << END\n", i);
    for (unsigned level = 0; level < probe_levels(p); level++) {
        struct result_level l = result_level(p, level);
        double w = l.write + l.flush_write, z = l.zero + l.flush_zero;
        if (l.samples && w > 0 && z > 0)
            fprintf(to, "%u %.6f %.6f %.2f %.2f\n", l.size, w / 1e6, z / 1e6,
                    100 * l.flush_write / w, 100 * l.flush_zero / z);
    }
    fputs("END\n", to);
}

static void
put_title(FILE *to, const struct result *r, const struct result_class *c)
{
    char why[RESULT_WORDS], headline[80];
    fprintf(to, "set title \"%s: %s\\n", c->no_hole ? "NO_HOLE" : "Holes allowed",
            result_headline(r, c, headline, sizeof headline));
    put_wrapped(to, result_why(r, c, why, sizeof why), 72);
    fputs("\"\n", to);
}

struct times {
    double least, most; // ns
};

static struct times
extremes(const struct probe *p)
{
    struct times all = {.least = 1e18, .most = 1};
    for (unsigned level = 0; level < probe_levels(p); level++) {
        struct result_level l = result_level(p, level);
        double both[] = {l.write + l.flush_write, l.zero + l.flush_zero};
        for (unsigned i = 0; l.samples && i < 2; i++) {
            all.least = both[i] < all.least ? both[i] : all.least;
            all.most = both[i] > all.most ? both[i] : all.most;
        }
    }
    all.least = all.least > 1000 ? all.least : 1000; // a logarithmic axis has no 0
    all.most = all.most > all.least ? all.most : all.least;
    return all;
}

// Room below for the border's label; the key stands outside, for a curve may be anywhere.
static void
put_costs(FILE *to, const struct result_class *c, unsigned i)
{
    const struct probe *p = &votes_shown(c)->probe;
    const struct zero_model fit = result_fit(p), *m = &fit;
    struct times all = extremes(p);
    fprintf(to,
            "set logscale y\nset format y \"%%g\"\nset yrange [%.6f:%.6f]\nset ytics autofreq\n"
            "set ylabel \"ms\"\nunset xlabel\nset key below horizontal maxcols 2 reverse Left\n",
            all.least / 4e6, all.most * 2 / 1e6);
    fprintf(to,
            "plot $class%u using 1:2 with points ls 1 title \"write + FLUSH\", "
            "$class%u using 1:3 with points ls 2 title \"zero + FLUSH\"",
            i, i);
    if (p->levels[1].n) // a line needs two levels
        fprintf(to,
                ", %.9g + %.9g * x with lines ls 3 title \"%.3g ms + %.3g ms a MiB\""
                ", %.9g + %.9g * x with lines ls 4 title \"%.3g ms + %.3g ms a MiB\"",
                m->write.a / 1e6, m->write.b / 1e6, m->write.a / 1e6, m->write.b * (1 << 20) / 1e6,
                m->zero.a / 1e6, m->zero.b / 1e6, m->zero.a / 1e6, m->zero.b * (1 << 20) / 1e6);
    fputs("\n", to);
}

// Where one size is fast and a smaller one is not.
static void
put_border(FILE *to, const struct result *r, const struct result_class *c)
{
    uint64_t from = result_fast_from(r, c);
    fputs("unset arrow\nunset label\n", to);
    if (from >= LEFT_END && from <= right_end(r))
        fprintf(to,
                "set arrow from %" PRIu64 ", graph 0 to %" PRIu64
                ", graph 1 nohead dt 3 lw 1.2 lc rgb \"black\"\n"
                "set label \" fast from %s \" at %" PRIu64 ", graph 0.05 %s\n",
                from, from, units_size(from).s, from, from < MIDDLE ? "left" : "right");
}

static void
put_shares(FILE *to, unsigned i)
{
    fprintf(to,
            "unset arrow\nunset label\nset title \"The FLUSH's share of it\"\n"
            "unset logscale y\nset yrange [0:130]\nset ytics 0, 20, 100\nset ylabel \"%%\"\nset "
            "xlabel \"bytes a request\"\n"
            "set key inside top left vertical reverse Left\n"
            "plot $class%u using 1:4 with linespoints ls 1 title \"of a write\", "
            "$class%u using 1:5 with linespoints ls 2 title \"of a zero\"\n",
            i, i);
}

static bool
has_levels(const struct result_class *c)
{
    return c->n_runs && votes_shown(c)->probe.levels[0].n;
}

// Black and grey, told apart by shape: it will be printed.
static void
put_preamble(FILE *to, const struct result *r, unsigned columns)
{
    fprintf(to,
            "set terminal svg size %u,840 dynamic font \"Helvetica,13\" background \"white\" "
            "noenhanced\n"
            "set style line 1 lc rgb \"black\" lw 1.5 pt 7 ps 0.9\n"
            "set style line 2 lc rgb \"#c04000\" lw 1.5 dt 2 pt 5 ps 0.9\n"
            "set style line 3 lc rgb \"black\" lw 1.2\n"
            "set style line 4 lc rgb \"#c04000\" lw 1.2 dt 2\n"
            "set grid lc rgb \"#d0d0d0\"\nset border lw 1.2\nset samples 200\n"
            "set logscale x 2\nset xrange [%u:%u]\n"
            "set xtics (\"64K\" 65536, \"256K\" 262144, \"1M\" 1048576, \"4M\" 4194304, "
            "\"16M\" 16777216, \"64M\" 67108864)\n",
            columns * 560, LEFT_END, right_end(r));
    fprintf(to, "set multiplot layout 2,%u columnsfirst title \"", columns);
    put_text(to, r->asked->uri);
    fputs("\"\n", to);
}

void
plot_script(FILE *to, const struct result *r)
{
    unsigned columns = 0;
    for (unsigned i = 0; i < r->n_classes; i++)
        columns += has_levels(&r->classes[i]);
    put_preamble(to, r, columns);
    for (unsigned i = 0; i < r->n_classes; i++) {
        const struct result_class *c = &r->classes[i];
        if (!has_levels(c))
            continue;
        put_data(to, &votes_shown(c)->probe, i);
        put_title(to, r, c);
        put_border(to, r, c);
        put_costs(to, c, i);
        put_shares(to, i);
    }
    fputs("unset multiplot\n", to);
}

// -------------------------------------------------------------------------------------------

// The script goes to a file, so that neither of us waits for the other.
static int
script_file(const struct result *r)
{
    FILE *f = tmpfile();
    if (!f)
        return -1;
    plot_script(f, r);
    int fd = fflush(f) == 0 ? fcntl(fileno(f), F_DUPFD_CLOEXEC, 0) : -1;
    fclose(f);
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

static bool
draw(const struct result *r, int out)
{
    pid_t pid;
    char standard_input[] = "-";
    int in = script_file(r);
    bool good = in >= 0 && spawn(standard_input, in, out, &pid) && ended_well(pid);
    if (in >= 0)
        close(in);
    return good;
}

bool
plot(const struct result *r, const char *path, char *err, size_t errlen)
{
    bool any = false;
    for (unsigned i = 0; i < r->n_classes; i++)
        any |= has_levels(&r->classes[i]);
    if (!any) {
        snprintf(err, errlen, "%s: nothing was measured that could be drawn", path);
        return false;
    }
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out < 0) {
        snprintf(err, errlen, "%s: %s", path, strerror(errno));
        return false;
    }
    bool good = draw(r, out);
    good = close(out) == 0 && good;
    if (!good)
        snprintf(err, errlen, "%s: gnuplot failed", path);
    return good;
}
