// SPDX-License-Identifier: BSD-3-Clause
// Words of Prometheus' text exposition format 0.0.4.
#ifndef DAEMON_EXPOSITION_H
#define DAEMON_EXPOSITION_H

#include <jansson.h>
#include <stdio.h>

// Up to four by name and value, ended by NULL. Not copied.
struct labels {
    const char *pairs[9];
};

struct labels with(struct labels l, const char *name, const char *value);

// The lines before a family's samples.
void put_help(FILE *f, const char *name, const char *type, const char *help);
// The name and labels of one sample; its number is to follow.
void put_name(FILE *f, const char *name, const struct labels *l);
// In base units; `unit` 0: it is so already. A boolean is 0 or 1.
void put_number(FILE *f, const json_t *v, double unit);

#endif
