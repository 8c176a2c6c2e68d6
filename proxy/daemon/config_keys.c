// SPDX-License-Identifier: BSD-3-Clause
#include "config_keys.h"

#include <base/time.h>

#define IN_PROXY    (1u << SECTION_PROXY)
#define IN_LISTEN   (1u << SECTION_LISTEN)
#define IN_UPSTREAM (1u << SECTION_UPSTREAM)
#define IN_EXPORT   (1u << SECTION_EXPORT)
#define IN_BOTH     (IN_UPSTREAM | IN_EXPORT)

#define KIB       (UINT64_C(1) << 10)
#define MIB       (UINT64_C(1) << 20)
#define GIB       (UINT64_C(1) << 30)
#define NS_PER_HR (60 * NS_PER_MIN)

// In the order of the sample file and the manual. The prose is read there: whole sentences.
const struct config_key config_keys[CONFIG_KEYS] = {
    [KEY_THREADS] =
        {
            .name = "threads",
            .sections = IN_PROXY,
            .type = VALUE_THREADS,
            .initial = "auto",
            .min = 1,
            .max = 256,
            .fixed = true,
            .prose = "Worker threads, each with an io_uring and connections of its own. auto: one "
                     "for each CPU that this process may run on.",
        },
    [KEY_CONTROL_SOCKET] =
        {
            .name = "control-socket",
            .sections = IN_PROXY,
            .type = VALUE_TEXT,
            .form = "a path",
            .initial = "/run/nbdzero/control.sock",
            .fixed = true,
            .prose = "The Unix socket that nbdzero-stat asks. Empty: none.",
        },
    [KEY_CONTROL_SOCKET_MODE] =
        {
            .name = "control-socket-mode",
            .sections = IN_PROXY,
            .type = VALUE_MODE,
            .initial = "0600",
            .min = 0,
            .max = 0777,
            .prose = "Mode of its file: who may connect, and so may ask. With "
                     "control-socket-group the default is 0660. To change something is for root, "
                     "the user that the proxy runs as, and the members of that group.",
        },
    [KEY_CONTROL_SOCKET_GROUP] =
        {
            .name = "control-socket-group",
            .sections = IN_PROXY,
            .type = VALUE_TEXT,
            .form = "the name or number of a group",
            .initial = "",
            .prose = "The group that its file belongs to; its members may change what nbdzero-stat "
                     "can change. Empty: the proxy's own group has the file, and its members have "
                     "no such right.",
        },
    [KEY_USER] =
        {
            .name = "user",
            .sections = IN_PROXY,
            .type = VALUE_TEXT,
            .form = "the name or number of a user",
            .initial = "",
            .fixed = true,
            .prose = "Whom the process becomes when it was started as root and all sockets are "
                     "open; no capability is kept. Files that a reload reads again, and "
                     "state-dir, must be his to use; what the proxy makes itself is. Not needed "
                     "where systemd's User= is given. Empty: it stays who it is.",
        },
    [KEY_GROUP] =
        {
            .name = "group",
            .sections = IN_PROXY,
            .type = VALUE_TEXT,
            .form = "the name or number of a group",
            .initial = "",
            .fixed = true,
            .prose = "The group of user, if not his own.",
        },
    [KEY_STATE_DIR] =
        {
            .name = "state-dir",
            .sections = IN_PROXY,
            .type = VALUE_TEXT,
            .form = "a path",
            .initial = "/var/lib/nbdzero",
            .fixed = true,
            .prose =
                "Remembers slow verdicts, what zeroes and writes cost, and pins; and proxies of "
                "one machine tell each other here which exports they serve, so that none "
                "measures inside an export that another one serves. Made at start if it is "
                "missing. Empty, or not usable: nothing is remembered, and nothing measured "
                "from inside a request.",
        },
    [KEY_METRICS_LISTEN] =
        {
            .name = "metrics-listen",
            .sections = IN_PROXY,
            .type = VALUE_TEXT,
            .form = "host:port or [v6]:port",
            .initial = "",
            .prose = "Address of an HTTP endpoint, /metrics, for Prometheus: plain HTTP, for "
                     "whoever can connect. Empty: none. Example: 127.0.0.1:9809.",
        },
    [KEY_LOG_LEVEL] =
        {
            .name = "log-level",
            .sections = IN_PROXY,
            .type = VALUE_CHOICE,
            .form = "error, warn, info or debug",
            .initial = "info",
            .choices = {"error", "warn", "info", "debug"},
            .prose = "How much is logged. error: the operator must act; warn: a peer misbehaved; "
                     "info: connections come and go; debug: each request. --log-level has "
                     "precedence. What nbdzero-stat log-level sets stays until a reload finds "
                     "another level here than the one before.",
        },
    [KEY_MAX_CONNECTIONS] =
        {
            .name = "max-connections",
            .sections = IN_PROXY,
            .type = VALUE_COUNT,
            .initial = "10000",
            .min = 1,
            .max = 1000000,
            .prose = "Client connections at one time; a further one is closed at once and counted "
                     "as refused. Lowered with a warning where the limit on open files allows "
                     "fewer: a connection needs two of them.",
        },
    [KEY_MAX_PER_CLIENT] =
        {
            .name = "max-connections-per-client",
            .sections = IN_PROXY,
            .type = VALUE_COUNT,
            .initial = "0",
            .min = 1,
            .max = 1000000,
            .zero_is_none = true,
            .prose = "Connections of one client address at one time, over all listeners; a "
                     "further one is closed at once and counted as refused. Of version 6 a whole "
                     "/64 counts as one address, since any host there has all of it. Clients of "
                     "unix: listeners have none and are not counted. 0: as many as they like.",
        },
    [KEY_HANDSHAKE_TIMEOUT] =
        {
            .name = "handshake-timeout",
            .sections = IN_PROXY,
            .type = VALUE_DURATION,
            .initial = "10s",
            .min = 10 * NS_PER_MS,
            .max = NS_PER_HR,
            .prose = "For a client's whole negotiation.",
        },
    [KEY_IO_TIMEOUT] =
        {
            .name = "io-timeout",
            .sections = IN_PROXY,
            .type = VALUE_DURATION,
            .initial = "60s",
            .min = 10 * NS_PER_MS,
            .max = 24 * NS_PER_HR,
            .zero_is_none = true,
            .prose = "A connection that makes no progress for so long inside a message that has "
                     "begun is closed, on either side; and one to an upstream that owes a reply "
                     "for so long while others wait for it: behind a repair or a probe, or when "
                     "its client has gone. 0: never.",
        },
    [KEY_KEEPALIVE] =
        {
            .name = "keepalive",
            .sections = IN_PROXY,
            .type = VALUE_DURATION,
            .initial = "60s",
            .min = NS_PER_SEC,
            .max = 32767 * NS_PER_SEC, // the kernel's TCP_KEEPIDLE
            .zero_is_none = true,
            .prose = "TCP keepalive after so much silence. An idle connection, and any other reply "
                     "that the upstream still owes, have no other deadline. 0: off.",
        },
    [KEY_MAX_IN_FLIGHT] =
        {
            .name = "max-in-flight",
            .sections = IN_PROXY,
            .type = VALUE_COUNT,
            .initial = "128",
            .min = 1,
            .max = 4096,
            .prose = "Requests that one connection may have in work; further ones wait unread.",
        },
    [KEY_MAX_IN_FLIGHT_BYTES] =
        {
            .name = "max-in-flight-bytes",
            .sections = IN_PROXY,
            .type = VALUE_SIZE,
            .initial = "64M",
            .min = 64 * KIB,
            .max = 16 * GIB,
            .prose = "The payload of these requests, together: above it no further one is read.",
        },
    [KEY_DRAIN_TIMEOUT] =
        {
            .name = "drain-timeout",
            .sections = IN_PROXY,
            .type = VALUE_DURATION,
            .initial = "30s",
            .min = 10 * NS_PER_MS,
            .max = NS_PER_HR,
            .zero_is_none = true,
            .prose = "What is in work when the proxy is asked to end may take so long to finish; "
                     "connections that are left then are cut. 0: at once.",
        },
    [KEY_UPGRADE_TIMEOUT] =
        {
            .name = "upgrade-timeout",
            .sections = IN_PROXY,
            .type = VALUE_DURATION,
            .initial = "0s",
            .min = NS_PER_SEC,
            .max = 365 * 24 * NS_PER_HR,
            .zero_is_none = true,
            .prose = "After an upgrade the old process serves the connections that it has until "
                     "they end, but no longer than this: what is left then is drained. 0: for as "
                     "long as they last.",
        },

    [KEY_LISTEN_ADDRESS] =
        {
            .name = "address",
            .sections = IN_LISTEN,
            .type = VALUE_TEXT,
            .form = "host:port, [v6]:port, unix:/path or systemd:NAME",
            .initial = "",
            .example = "127.0.0.1:10809",
            .prose = "Where clients connect. Must be given. systemd:NAME: the sockets that systemd "
                     "passes with FileDescriptorName=NAME, all of them; where it passes none of "
                     "that name, or one that no section uses, the start fails.",
        },
    [KEY_LISTEN_SOCKET_MODE] =
        {
            .name = "socket-mode",
            .sections = IN_LISTEN,
            .type = VALUE_MODE,
            .initial = "0600",
            .min = 0,
            .max = 0777,
            .prose = "Mode of the socket file, where the address is unix:/path.",
        },
    [KEY_LISTEN_ALLOW] =
        {
            .name = "allow",
            .sections = IN_LISTEN,
            .type = VALUE_TEXT,
            .form = "networks and addresses, with blanks or commas between",
            .initial = "",
            .prose = "Which clients may come in: those whose address is one of these, or in one of "
                     "these networks, like 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32. Others are "
                     "closed right after accept, before anything is said. A version 4 address is "
                     "in no version 6 network; 0.0.0.0/0 is all of version 4. Not for unix:/path, "
                     "where socket-mode says who may. Empty: everybody.",
        },
    [KEY_LISTEN_UPSTREAM] =
        {
            .name = "upstream",
            .sections = IN_LISTEN,
            .type = VALUE_TEXT,
            .form = "the name of an [upstream] section",
            .initial = "",
            .example = "storage",
            .prose = "Where connections go. Without it, only the [export] sections that name this "
                     "listener are served.",
        },
    [KEY_LISTEN_TLS] =
        {
            .name = "tls",
            .sections = IN_LISTEN,
            .type = VALUE_CHOICE,
            .form = "off, allow or require",
            .initial = "off",
            .choices = {"off", "allow", "require"},
            .prose = "TLS towards clients, version 1.2 or 1.3. off: refused. allow: who asks for "
                     "it has it, others do without; for the time in which clients are moved over, "
                     "since somebody in between may keep them from asking. require: nothing is "
                     "served without. allow and require need tls-certificates or tls-psk-file; "
                     "off is the default for want of these.",
        },
    [KEY_LISTEN_TLS_CERTIFICATES] =
        {
            .name = "tls-certificates",
            .sections = IN_LISTEN,
            .type = VALUE_TEXT,
            .form = "a directory",
            .initial = "",
            .prose = "Holds server-cert.pem, with intermediate certificates behind it, and its "
                     "key, server-key.pem, not encrypted; for tls-verify-peer ca-cert.pem, and "
                     "ca-crl.pem if there is one. nbdkit and qemu have the same names.",
        },
    [KEY_LISTEN_TLS_PSK_FILE] =
        {
            .name = "tls-psk-file",
            .sections = IN_LISTEN,
            .type = VALUE_TEXT,
            .form = "a file",
            .initial = "",
            .prose = "Lines of user:hexkey, as psktool writes them; keys have 16 bytes or more. A "
                     "client that names one of these users and has his key comes in, and neither "
                     "side needs a certificate.",
        },
    [KEY_LISTEN_TLS_VERIFY_PEER] =
        {
            .name = "tls-verify-peer",
            .sections = IN_LISTEN,
            .type = VALUE_BOOL,
            .initial = "no",
            .prose = "Clients must show a certificate that ca-cert.pem has signed and ca-crl.pem "
                     "has not revoked; users of tls-psk-file need none. With no, TLS hides what "
                     "is said, and whoever reaches the listener is served.",
        },
    [KEY_LISTEN_TLS_ALLOW] =
        {
            .name = "tls-allow",
            .sections = IN_LISTEN,
            .type = VALUE_TEXT,
            .form = "names, with blanks or commas between",
            .initial = "",
            .prose = "Which of the clients that the CA knows may come in: those whose certificate "
                     "has a name, be it the common name or an alternative one (DNS, IP, mail, "
                     "URI), that matches one of these. * stands for any text, and for a blank; "
                     "capitals make no difference. Needs tls-verify-peer = yes, and is not for "
                     "users of tls-psk-file. Empty: all of them.",
        },
    [KEY_TLS_CIPHERS] =
        {
            .name = "tls-ciphers",
            .sections = IN_LISTEN | IN_UPSTREAM,
            .type = VALUE_TEXT,
            .form = "OpenSSL's names, with colons between",
            .initial = "",
            .prose = "Replaces the ciphers of the system's policy. Those of TLS 1.3, like "
                     "TLS_AES_256_GCM_SHA384, and those of TLS 1.2 stand in one list; a version "
                     "of which none is named is not spoken. [upstream] has this key, too.",
        },

    [KEY_UPSTREAM_URI] =
        {
            .name = "uri",
            .sections = IN_UPSTREAM,
            .type = VALUE_TEXT,
            .form = "an NBD URI: nbd[s]://[user@]host[:port][/export] or "
                    "nbd[s]+unix://[user@]/[export]?socket=/path",
            .initial = "",
            .example = "nbd://127.0.0.1:10810",
            .prose = "The NBD server behind the proxy. Its export part replaces an empty name "
                     "that a client asks for. nbds is TLS, and never plaintext instead. Its "
                     "parameters tls-certificates, tls-psk-file, tls-hostname and tls-verify-peer "
                     "(0 or 1) are the same as the keys. Must be given.",
        },
    [KEY_UPSTREAM_TLS_CERTIFICATES] =
        {
            .name = "tls-certificates",
            .sections = IN_UPSTREAM,
            .type = VALUE_TEXT,
            .form = "a directory",
            .initial = "",
            .prose = "For nbds: holds ca-cert.pem, and ca-crl.pem if there is one, to verify the "
                     "server; client-cert.pem and client-key.pem if it asks for them. Without the "
                     "directory the certificates that the system trusts are trusted.",
        },
    [KEY_UPSTREAM_TLS_PSK_FILE] =
        {
            .name = "tls-psk-file",
            .sections = IN_UPSTREAM,
            .type = VALUE_TEXT,
            .form = "a file",
            .initial = "",
            .prose = "For nbds://USER@host: lines of user:hexkey, as psktool writes them; the key "
                     "of the URI's user is used. Certificates play no part then.",
        },
    [KEY_UPSTREAM_TLS_HOSTNAME] =
        {
            .name = "tls-hostname",
            .sections = IN_UPSTREAM,
            .type = VALUE_TEXT,
            .form = "a host name",
            .initial = "",
            .prose = "For nbds: the name, or address, that the server's certificate must be for, "
                     "where it is not the host of the URI. nbds+unix has no host, and needs it.",
        },
    [KEY_UPSTREAM_TLS_VERIFY_PEER] =
        {
            .name = "tls-verify-peer",
            .sections = IN_UPSTREAM,
            .type = VALUE_BOOL,
            .initial = "yes",
            .prose = "For nbds: the server's certificate must be signed by a CA that is trusted, "
                     "and be for the right name. With no, somebody in between may read and change "
                     "everything.",
        },
    [KEY_UPSTREAM_CONNECT_TIMEOUT] =
        {
            .name = "connect-timeout",
            .sections = IN_UPSTREAM,
            .type = VALUE_DURATION,
            .initial = "5s",
            .min = 10 * NS_PER_MS,
            .max = NS_PER_HR,
            .prose = "For TCP, TLS and NBD handshake together; every address of a name is tried.",
        },
    [KEY_UPSTREAM_RECONNECT_TIMEOUT] =
        {
            .name = "reconnect-timeout",
            .sections = IN_UPSTREAM,
            .type = VALUE_DURATION,
            .initial = "0s",
            .min = 10 * NS_PER_MS,
            .max = 24 * NS_PER_HR,
            .zero_is_none = true,
            .only_default = true,
            .prose = "How long a lost upstream may be away before clients are told. 0: not at all.",
        },

    [KEY_READ_ONLY] =
        {
            .name = "read-only",
            .sections = IN_BOTH,
            .type = VALUE_BOOL,
            .initial = "no",
            .prose = "Clients may not write; whatever the upstream allows.",
        },
    [KEY_BLOCK_SIZE] =
        {
            .name = "block-size",
            .sections = IN_BOTH,
            .type = VALUE_CHOICE,
            .form = "pass or repair",
            .initial = "pass",
            .choices = {"pass", "repair"},
            .prose = "What becomes of requests that do not keep to the upstream's minimum block "
                     "size. pass: the upstream's answer; clients that ask for block sizes must "
                     "keep to them. repair: requests of clients that did not ask are made whole "
                     "blocks, and what is around them is read first and written back unchanged. "
                     "Not where others write to the storage, too.",
        },
    [KEY_FAST_ZERO] =
        {
            .name = "fast-zero",
            .sections = IN_BOTH,
            .type = VALUE_CHOICE,
            .form = "measure, trust, always, never or off",
            .initial = "measure",
            .choices = {"measure", "trust", "always", "never", "off"},
            .prose = "Who says whether zeroing is fast. measure: the flag is advertised and "
                     "answered by measurement, unless the upstream advertises it itself. trust: "
                     "the upstream's own flag and answers pass untouched. always: advertised, and "
                     "every such request is forwarded. never: advertised, and every such request "
                     "is refused with ENOTSUP. off: not advertised.",
        },
    [KEY_FAST_ZERO_RATIO] =
        {
            .name = "fast-zero-ratio",
            .sections = IN_BOTH,
            .type = VALUE_RATIO,
            .initial = "0.30",
            .min = 50000,
            .max = 700000,
            .prose = "Zeroing is fast when a byte of it costs less than this share of writing it.",
        },
    [KEY_PROBE] =
        {
            .name = "probe",
            .sections = IN_BOTH,
            .type = VALUE_CHOICE,
            .form = "auto or off",
            .initial = "auto",
            .choices = {"auto", "off"},
            .prose = "Whether a client's request to zero may be measured from inside: parts of "
                     "its range are zeroed and written back to find out. Switch it off where the "
                     "storage is written by others, too, or is thin and nearly full: see "
                     "MEASURING in nbdzero.conf(5).",
        },
    [KEY_PROBE_TIME] =
        {
            .name = "probe-time",
            .sections = IN_BOTH,
            .type = VALUE_DURATION,
            .initial = "1s",
            .min = 10 * NS_PER_MS,
            .max = NS_PER_MIN,
            .prose = "The most that one measurement may delay a request, its write-back included.",
        },
    [KEY_PROBE_BYTES] =
        {
            .name = "probe-bytes",
            .sections = IN_BOTH,
            .type = VALUE_SIZE,
            .initial = "32M",
            .min = MIB,
            .max = GIB,
            .prose = "The most that one measurement may write.",
        },
    [KEY_SCRATCH] =
        {
            .name = "scratch",
            .sections = IN_BOTH,
            .type = VALUE_RANGE,
            .initial = "",
            .prose =
                "A range that may be overwritten at any time: what is in it is lost, and giving "
                "it here is all the confirmation there is. Zeroing is measured in it at the "
                "start, and when a verdict has aged while clients are there, so that no "
                "request needs to be; a client that touches it meanwhile waits. In "
                "[upstream]: of the export that the URI names, or of scratch-export. Both "
                "numbers are multiples of 64K, the length 4M or more; 64M have room for all "
                "that may be measured. Empty: none. The first one needs a restart.",
        },
    [KEY_SCRATCH_EXPORT] =
        {
            .name = "scratch-export",
            .sections = IN_BOTH,
            .type = VALUE_TEXT,
            .form = "an export's name, percent-encoded where need be",
            .initial = "",
            .prose = "The range of scratch is in this export of the server, which is there for "
                     "that, and on the same storage as the others: what is found out in it goes "
                     "for all exports of the [upstream], or for the [export] of the section.",
        },
    [KEY_MAX_ZERO] =
        {
            .name = "max-zero",
            .sections = IN_BOTH,
            .type = VALUE_SIZE,
            .form = "a size, a multiple of 64K",
            .initial = "32M",
            .min = 64 * KIB,
            .max = 2 * GIB,
            .prose = "The longest plain zero request that is sent upstream; longer ones are "
                     "split. Some servers zero only the first 64M of a longer one and report "
                     "success.",
        },
    [KEY_WRITE_ZEROES] =
        {
            .name = "write-zeroes",
            .sections = IN_BOTH,
            .type = VALUE_CHOICE,
            .form = "pass or cheapest",
            .initial = "pass",
            .choices = {"pass", "cheapest"},
            .prose =
                "How plain zero requests are served. pass: as the client sends them. cheapest: by "
                "writing zeroes where that has been measured to be cheaper (some servers zero "
                "files several times slower than they write them), but not where the client "
                "would take a hole and the server can make one.",
        },

    [KEY_EXPORT_NAME] =
        {
            .name = "name",
            .sections = IN_EXPORT,
            .type = VALUE_TEXT,
            .form = "a percent-encoded name",
            .initial = "",
            .prose = "The export's name as clients ask for it, where it does not fit the "
                     "section's line; \"\" is the default export. The section's own name is then "
                     "only a label.",
        },
    [KEY_EXPORT_LISTEN] =
        {
            .name = "listen",
            .sections = IN_EXPORT,
            .type = VALUE_TEXT,
            .form = "names of [listen] sections, with blanks between",
            .initial = "",
            .prose = "Only clients of these listeners are meant; others of the same upstream are "
                     "not shown an export of that name. Empty: all listeners whose upstream is "
                     "the section's.",
        },
    [KEY_EXPORT_UPSTREAM] =
        {
            .name = "upstream",
            .sections = IN_EXPORT,
            .type = VALUE_TEXT,
            .form = "the name of an [upstream] section",
            .initial = "",
            .prose = "Where this export is, if not at its listener's upstream.",
        },
    [KEY_EXPORT_UPSTREAM_EXPORT] =
        {
            .name = "upstream-export",
            .sections = IN_EXPORT,
            .type = VALUE_TEXT,
            .form = "a percent-encoded name",
            .initial = "",
            .prose = "What the export is called there, if not as here; \"\" is the default "
                     "export. On the listeners of this section clients are no longer shown an "
                     "export of that name.",
        },
    [KEY_EXPORT_DESCRIPTION] =
        {
            .name = "description",
            .sections = IN_EXPORT,
            .type = VALUE_TEXT,
            .form = "a text",
            .initial = "",
            .prose = "What clients that ask are told about it. Empty: what the upstream says.",
        },
};
