// SPDX-License-Identifier: BSD-3-Clause
// What is wrong with a configuration: every fault, each with its line, what is wrong and what would
// be right. Warnings stand beside them and stop nothing; an alarm is a warning of what doesn't work
// even now, and logged as an error.
#ifndef DAEMON_FAULTS_H
#define DAEMON_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct fault {
    unsigned line;       // 0: the file as a whole
    bool warning, alarm; // an alarm is a warning, too
    char *text;
};

struct faults {
    struct fault *list;
    size_t n;
    size_t errors; // those that are no warnings
};

void fault_at(struct faults *f, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void warning_at(struct faults *f, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void alarm_at(struct faults *f, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// By line, as "FILE:LINE: text"; warnings as "FILE:LINE: warning: text".
void faults_print(struct faults *f, const char *file, FILE *out);
// The same lines to the log: warnings at level warn, the others at level error.
void faults_log(struct faults *f, const char *file);
void faults_clear(struct faults *f);

#endif
