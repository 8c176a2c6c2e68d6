// SPDX-License-Identifier: BSD-3-Clause
// From keys to a context: are the files there, do they fit, and how long will they do.
#include "config_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <io/tls.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

// ---- what must be there before anything is read

static const char *
remedy(const char *otherwise)
{
    return errno == EACCES ? "the user that nbdzero-proxy runs as must be able to read it"
                           : otherwise;
}

static bool
is_directory(const struct tls_keys *k, struct faults *faults)
{
    struct stat st;
    const char *path = k->certificates.text;
    bool there = stat(path, &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return true;
    errno = there ? ENOTDIR : errno;
    const char *wanted = k->connects ? "a directory with ca-cert.pem would be right"
                                     : "a directory with server-cert.pem and server-key.pem would "
                                       "be right";
    fault_at(faults, k->certificates.line, "tls-certificates: cannot read %s: %s: %s", path,
             strerror(errno), remedy(wanted));
    return false;
}

static bool
is_in_directory(const struct tls_keys *k, const char *file, const char *what, struct faults *faults)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/%s", k->certificates.text, file);
    if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) == 0)
        return true;
    fault_at(faults, k->certificates.line, "tls-certificates: cannot read %s: %s: %s", path,
             strerror(errno), remedy(what));
    return false;
}

// Every one that is missing is told, and not only the first.
static bool
has_certificates(const struct tls_keys *k, struct faults *faults)
{
    static const struct {
        const char *file;
        bool connects, to_verify;
        const char *what;
    } needed[] = {
        {"server-cert.pem", false, false, "it is what clients are shown"},
        {"server-key.pem", false, false, "it is the key of server-cert.pem"},
        {"ca-cert.pem", false, true,
         "tls-verify-peer = yes verifies the certificates of clients with it"},
        {"ca-cert.pem", true, true,
         "the upstream's certificate is verified with it; without tls-certificates the system's "
         "certificates are trusted"},
    };
    if (!is_directory(k, faults))
        return false;
    bool good = true;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (needed[i].connects == k->connects && (k->verify_peer || !needed[i].to_verify))
            good &= is_in_directory(k, needed[i].file, needed[i].what, faults);
    return good;
}

static bool
has_psk_file(const struct tls_keys *k, struct faults *faults)
{
    if (faccessat(AT_FDCWD, k->psk_file.text, R_OK, AT_EACCESS) == 0)
        return true;
    fault_at(faults, k->psk_file.line, "tls-psk-file: cannot read %s: %s: %s", k->psk_file.text,
             strerror(errno), remedy("psktool makes such a file"));
    return false;
}

// ---- what is in them

static struct tls_context *
make(const struct tls_keys *k, char *err, size_t errlen)
{
    if (k->connects)
        return tls_client_new(&(struct tls_client){.certificates = k->certificates.text,
                                                   .hostname = k->hostname,
                                                   .psk_file = k->psk_file.text,
                                                   .psk_user = k->user,
                                                   .ciphers = k->ciphers.text,
                                                   .verify_peer = k->verify_peer},
                              err, errlen);
    return tls_server_new(&(struct tls_server){.certificates = k->certificates.text,
                                               .psk_file = k->psk_file.text,
                                               .ciphers = k->ciphers.text,
                                               .verify_peer = k->verify_peer,
                                               .allow = k->allow,
                                               .allow_count = k->allow_count},
                          err, errlen);
}

static bool
begins_with(const char *text, const char *prefix, const char *separators)
{
    size_t n = prefix ? strlen(prefix) : 0;
    return n && strncmp(text, prefix, n) == 0 && text[n] && strchr(separators, text[n]);
}

// Lines about a file begin with its path.
static struct tls_source *
culprit(struct tls_keys *k, const char *err)
{
    if (begins_with(err, k->psk_file.text, ":,"))
        return &k->psk_file;
    if (begins_with(err, k->certificates.text, "/"))
        return &k->certificates;
    if (k->ciphers.text)
        return &k->ciphers;
    return k->psk_file.text ? &k->psk_file : &k->certificates;
}

static void
say(struct tls_keys *k, const struct tls_source *source, const char *err, struct faults *faults)
{
    const char *key = source == &k->psk_file  ? "tls-psk-file"
                      : source == &k->ciphers ? "tls-ciphers"
                                              : "tls-certificates";
    unsigned line = source->line ? source->line : k->section->line;
    if (begins_with(err, key, ":"))
        fault_at(faults, line, "%s", err);
    else
        fault_at(faults, line, "%s: %s", key, err);
}

// So that what is left can be checked.
static void
leave_out(struct tls_keys *k, struct tls_source *source)
{
    source->text = NULL;
    if (source != &k->ciphers) // nobody is left to verify, or nothing to verify with
        k->verify_peer = false;
    if (!k->verify_peer)
        k->allow_count = 0;
}

// Of a side that is left with nothing there is no context to try.
static bool
is_something(const struct tls_keys *k)
{
    return k->certificates.text || k->psk_file.text || k->connects;
}

static struct tls_context *
try_all(struct tls_keys *k, struct faults *faults)
{
    char err[TLS_TEXT];
    while (is_something(k)) {
        struct tls_context *c = make(k, err, sizeof err);
        if (c)
            return c;
        struct tls_source *source = culprit(k, err);
        say(k, source, err, faults);
        if (!source->text) // nothing that could be left out
            return NULL;
        leave_out(k, source);
    }
    return NULL;
}

// ---- how long

static void
warn(const struct tls_keys *k, const struct tls_context *c, struct faults *faults)
{
    struct tls_report r;
    char date[32];
    struct tm tm;
    time_t now = time(NULL);
    const char *kind = section_names[k->section->kind], *name = k->section->name;
    unsigned line = k->certificates.line;
    tls_report(c, &r);
    bool list = strcmp(r.file, "ca-crl.pem") == 0;
    bool soon = r.not_after && r.not_after <= now + CERTIFICATE_WARNING;
    bool ended = r.not_after && r.not_after <= now;
    if (*r.warning && !(ended && strstr(r.warning, "expired"))) // said below, with the date
        warning_at(faults, line, "[%s %s]: %s", kind, name, r.warning);
    if (!soon)
        return;
    gmtime_r(&r.not_after, &tm);
    strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &tm);
    if (ended)
        alarm_at(faults, line, "[%s %s]: %s/%s %s on %s: connections fail until it is renewed",
                 kind, name, k->certificates.text, r.file, list ? "was due again" : "ended", date);
    else
        warning_at(faults, line,
                   "[%s %s]: %s/%s %s on %s: renew it, or connections will fail from then on", kind,
                   name, k->certificates.text, r.file, list ? "is due again" : "ends", date);
}

struct tls_context *
config_tls_context(const struct tls_keys *keys, struct faults *faults)
{
    struct tls_keys k = *keys;
    size_t before = faults->errors;
    if (k.certificates.text && !has_certificates(&k, faults))
        leave_out(&k, &k.certificates);
    if (k.psk_file.text && !has_psk_file(&k, faults))
        leave_out(&k, &k.psk_file);
    struct tls_context *c = try_all(&k, faults);
    if (c && faults->errors == before) {
        warn(&k, c, faults);
        return c;
    }
    tls_unref(c);
    return NULL;
}
