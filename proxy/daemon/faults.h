// SPDX-License-Identifier: BSD-3-Clause
// What is wrong with a configuration: every fault, each with its line, what is wrong and what would
// be right. Warnings stand beside them and stop nothing.
#ifndef DAEMON_FAULTS_H
#define DAEMON_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct fault {
    unsigned line; // 0: the file as a whole
    bool warning;
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

// By line, as "FILE:LINE: text"; warnings as "FILE:LINE: warning: text".
void faults_print(struct faults *f, const char *file, FILE *out);
void faults_clear(struct faults *f);

#endif
