// SPDX-License-Identifier: BSD-3-Clause
// The one table of configuration keys. It feeds the reader, --check, conf/nbdzero.conf and the key
// reference in nbdzero.conf(5); a test fails when these disagree.
#ifndef DAEMON_CONFIG_KEYS_H
#define DAEMON_CONFIG_KEYS_H

#include <stdbool.h>
#include <stdint.h>

enum section_kind {
    SECTION_PROXY,
    SECTION_LISTEN,
    SECTION_UPSTREAM,
    SECTION_EXPORT,
    SECTION_KINDS,
};
extern const char *const section_names[SECTION_KINDS];

enum value_type {
    VALUE_TEXT,     // anything; where it must have a form of its own, its section checks that
    VALUE_CHOICE,   // one of `choices`; the number is its index
    VALUE_BOOL,     // yes or no; 1 or 0
    VALUE_COUNT,    // a plain number
    VALUE_THREADS,  // a plain number, or auto: 0
    VALUE_SIZE,     // bytes: K, M, G, T
    VALUE_DURATION, // nanoseconds: ms, s, min, h
    VALUE_RATIO,    // a decimal fraction; the number is in millionths
    VALUE_MODE,     // a file's mode, octal
    VALUE_RANGE,    // OFFSET:LENGTH, two sizes
};

enum config_key_id {
    KEY_THREADS,
    KEY_CONTROL_SOCKET,
    KEY_CONTROL_SOCKET_MODE,
    KEY_CONTROL_SOCKET_GROUP,
    KEY_USER,
    KEY_GROUP,
    KEY_STATE_DIR,
    KEY_METRICS_LISTEN,
    KEY_LOG_LEVEL,
    KEY_MAX_CONNECTIONS,
    KEY_MAX_PER_CLIENT,
    KEY_HANDSHAKE_TIMEOUT,
    KEY_IO_TIMEOUT,
    KEY_KEEPALIVE,
    KEY_MAX_IN_FLIGHT,
    KEY_MAX_IN_FLIGHT_BYTES,
    KEY_DRAIN_TIMEOUT,
    KEY_UPGRADE_TIMEOUT,

    KEY_LISTEN_ADDRESS,
    KEY_LISTEN_SOCKET_MODE,
    KEY_LISTEN_ALLOW,
    KEY_LISTEN_UPSTREAM,
    KEY_LISTEN_TLS,
    KEY_LISTEN_TLS_CERTIFICATES,
    KEY_LISTEN_TLS_PSK_FILE,
    KEY_LISTEN_TLS_VERIFY_PEER,
    KEY_LISTEN_TLS_ALLOW,
    KEY_TLS_CIPHERS, // of [upstream], too

    KEY_UPSTREAM_URI,
    KEY_UPSTREAM_TLS_CERTIFICATES,
    KEY_UPSTREAM_TLS_PSK_FILE,
    KEY_UPSTREAM_TLS_HOSTNAME,
    KEY_UPSTREAM_TLS_VERIFY_PEER,
    KEY_UPSTREAM_CONNECT_TIMEOUT,
    KEY_UPSTREAM_RECONNECT_TIMEOUT,

    // [upstream] gives these, [export] may override them.
    KEY_READ_ONLY,
    KEY_BLOCK_SIZE,
    KEY_FAST_ZERO,
    KEY_FAST_ZERO_RATIO,
    KEY_PROBE,
    KEY_PROBE_TIME,
    KEY_PROBE_BYTES,
    KEY_SCRATCH,
    KEY_SCRATCH_EXPORT,
    KEY_MAX_ZERO,
    KEY_WRITE_ZEROES,

    KEY_EXPORT_NAME,
    KEY_EXPORT_LISTEN,
    KEY_EXPORT_UPSTREAM,
    KEY_EXPORT_UPSTREAM_EXPORT,
    KEY_EXPORT_DESCRIPTION,

    CONFIG_KEYS
};

struct config_key {
    const char *name;
    unsigned sections; // 1 << enum section_kind
    enum value_type type;
    const char *form; // how people write the value, where the type does not say; config_key_form()
    const char *initial; // the default, as text; "": none
    const char *example; // for a key that has no default and hardly anybody leaves out; else NULL
    const char *choices[6];
    uint64_t min, max; // of the number
    bool zero_is_none; // 0 is allowed below min, and means none
    bool only_default; // any other value asks for what is not yet supported
    bool fixed;        // a reload cannot change it
    const char *prose;
};

extern const struct config_key config_keys[CONFIG_KEYS];

// How people write a value of this key, for manual and messages.
const char *config_key_form(const struct config_key *key);
// The key of that name in a section of that kind; CONFIG_KEYS if there is none.
enum config_key_id config_key_find(enum section_kind kind, const char *name);
// The key's name nearest to a misspelt one; NULL if none is near.
const char *config_key_nearest(enum section_kind kind, const char *name);
// "proxy", "listen", ... ; SECTION_KINDS if it is none of them.
enum section_kind section_kind_find(const char *word);

static inline bool
config_key_in(enum config_key_id id, enum section_kind kind)
{
    return config_keys[id].sections & (1u << kind);
}

#endif
