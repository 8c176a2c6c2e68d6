// SPDX-License-Identifier: BSD-3-Clause
// The command line.
#ifndef STAT_COMMAND_LINE_H
#define STAT_COMMAND_LINE_H

#include <stdbool.h>

struct command_line;

struct command {
    const char *name;
    int least, most; // arguments
    const char *syntax;
    int (*run)(const struct command_line *a); // an exit code
    bool watched;                             // takes --watch
    // What is wrong with the arguments, or NULL; may be NULL where none can be wrong.
    const char *(*fault)(char **words);
};

struct command_line {
    const char *socket_path;
    const struct command *command;
    char **words; // the command's own
    int n_words;
    double every; // seconds between redraws; 0: only once
    bool no_colour;
};

#define EXIT_USAGE 2

// True: `a` is to be run. Else the exit code is in *code and all has been said.
bool command_line_read(int argc, char **argv, const struct command *commands, unsigned n_commands,
                       struct command_line *a, int *code);

#endif
