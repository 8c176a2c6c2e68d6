// SPDX-License-Identifier: BSD-3-Clause
// Every way a session can end has a name here, and every way a client's request can; the log line,
// the counter and the tests use it.
#ifndef BASE_ENDINGS_H
#define BASE_ENDINGS_H

// X(identifier, name, whose doing it was: 'c' client, 'u' upstream, 'p' proxy, '-' nobody's fault)
#define SESSION_ENDINGS(X)                                                                         \
    X(END_CLIENT_LEFT_EARLY, "client-left-early", '-') /* closed during the handshake */           \
    X(END_CLIENT_ABORT, "client-abort", '-')           /* NBD_OPT_ABORT */                         \
    X(END_CLIENT_DISC, "client-disc", '-')             /* NBD_CMD_DISC */                          \
    X(END_CLIENT_EOF, "client-eof", '-')               /* closed between messages */               \
    X(END_CLIENT_CUT, "client-cut", 'c')               /* closed inside a message */               \
    X(END_CLIENT_BROKEN, "client-broken", 'c')         /* reset, or cannot be sent to */           \
    X(END_CLIENT_BREACH, "client-breach", 'c')         /* broke the protocol */                    \
    X(END_CLIENT_STALLED, "client-stalled", 'c')       /* io-timeout inside a message */           \
    X(END_CLIENT_TLS, "client-tls-failed", 'c')        /* no TLS after STARTTLS, or it broke */    \
    X(END_HANDSHAKE_TIMEOUT, "handshake-timeout", 'c') /* handshake-timeout */                     \
    X(END_REFUSED_EXPORT, "refused-export", '-')       /* EXPORT_NAME that cannot be served */     \
    X(END_UPSTREAM_UNREACHABLE, "upstream-unreachable", 'u') /* EXPORT_NAME with upstream down */  \
    X(END_UPSTREAM_LOST, "upstream-lost", 'u')               /* closed or reset by upstream */     \
    X(END_UPSTREAM_BREACH, "upstream-breach", 'u')           /* broke the protocol */              \
    X(END_UPSTREAM_STALLED, "upstream-stalled", 'u')         /* io-timeout inside a message */     \
    X(END_DAMAGED, "probe-damaged", 'u')                     /* a probe could not write back */    \
    X(END_DRAINED, "drained", 'p')                           /* shutting down */                   \
    X(END_NO_MEMORY, "no-memory", 'p')

enum session_ending {
#define X(id, name, who) id,
    SESSION_ENDINGS(X)
#undef X
        SESSION_ENDINGS_COUNT
};

const char *session_ending_name(enum session_ending e);
char session_ending_who(enum session_ending e);

// X(identifier, name)
#define REQUEST_ENDINGS(X)                                                                         \
    X(REQUEST_DONE, "done")                     /* success, upstream was asked */                  \
    X(REQUEST_ANSWERED, "answered-here")        /* success, upstream was not asked */              \
    X(REQUEST_UPSTREAM_ERROR, "upstream-error") /* an error of upstream's */                       \
    X(REQUEST_NOT_FAST, "not-fast")             /* ENOTSUP to a FAST_ZERO, whoever said it */      \
    X(REQUEST_REFUSED, "refused")               /* not as the protocol wants it, or not allowed */ \
    X(REQUEST_SHUT_DOWN, "shut-down")           /* ESHUTDOWN: the process is ending */             \
    X(REQUEST_FLUSH_FAILED, "flush-failed")     /* EIO for an earlier FLUSH of the proxy's */      \
    X(REQUEST_DAMAGED, "probe-damaged")         /* EIO: a probe could not write back */            \
    X(REQUEST_UPSTREAM_LOST, "upstream-lost")   /* EIO: upstream went away meanwhile */            \
    X(REQUEST_ABANDONED, "abandoned")           /* the client left, or was made to, before */      \
    X(REQUEST_NO_MEMORY, "no-memory")

enum request_ending {
#define X(id, name) id,
    REQUEST_ENDINGS(X)
#undef X
        REQUEST_ENDINGS_COUNT
};

const char *request_ending_name(enum request_ending e);

#endif
