// SPDX-License-Identifier: BSD-3-Clause
// The tables of metrics: what each is called, and which key of the snapshot it shows.
#ifndef DAEMON_PROMETHEUS_FAMILIES_H
#define DAEMON_PROMETHEUS_FAMILIES_H

#define KEYS_MOST 8

#define COUNTER "counter"
#define GAUGE   "gauge"

struct family {
    const char *name, *type, *help;
    const char *in;    // the object in an item that has the key; NULL: the item itself
    const char *label; // its values are the keys; NULL: there is one key, and no label
    const char *keys[KEYS_MOST];
    double unit; // of the number in base units; 0: it is 1
};

// Objects in exports whose keys are words of the proxy's own: a label.
struct named {
    const char *name, *help, *in, *object, *label;
};

// Each ends with one that has no name.
extern const struct family of_process[];
extern const struct family of_listener[];
extern const struct family of_upstream[];
extern const struct family of_certificate[];
extern const struct family of_export[];
extern const struct family of_command[];
extern const struct named of_names[];

#endif
