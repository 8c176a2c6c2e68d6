// SPDX-License-Identifier: BSD-3-Clause
// The configuration file, read: sections in their order, each with a value for every key it may
// have. Every value by itself is sound or has been reported; what values mean together is
// config.c's.
#ifndef DAEMON_CONFIG_DOCUMENT_H
#define DAEMON_CONFIG_DOCUMENT_H

#include "config_keys.h"
#include "faults.h"

#define CONFIG_BYTES_MAX (1u << 20) // a longer file is no configuration

struct config_value {
    unsigned line;   // 0: not given, and so the default
    char *text;      // NULL for keys that the section cannot have
    uint64_t number; // see enum value_type
};

struct config_section {
    enum section_kind kind;
    char *name; // "" for [proxy] and for the default export
    unsigned line;
    struct config_value values[CONFIG_KEYS];
};

struct config_document {
    struct config_section **sections;
    size_t n_sections;
    unsigned lines;
};

// Reads the file. What is wrong is added to faults; what could be read is there all the same, so
// that the rest can be checked, too.
void config_document_read(struct config_document *doc, const char *path, struct faults *faults);
// The same from memory.
void config_document_parse(struct config_document *doc, const char *text, size_t len,
                           struct faults *faults);
void config_document_clear(struct config_document *doc);

// A new section at the end, all values at their defaults; `name` is copied.
struct config_section *config_section_add(struct config_document *doc, enum section_kind kind,
                                          const char *name, unsigned line);
// The first section of that kind and name; NULL if there is none.
struct config_section *config_section_find(const struct config_document *doc,
                                           enum section_kind kind, const char *name);

// A key of a section is given: checks the value by itself and keeps it.
void config_section_set(struct config_section *s, const char *key, const char *value, unsigned line,
                        struct faults *faults);

#endif
