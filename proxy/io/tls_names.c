// SPDX-License-Identifier: BSD-3-Clause
// Names in certificates: what a peer is called, and whether such a one may come in.
#include "tls_inside.h"

#include <base/text.h>

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

// '*' stands for any text, everything else for itself; DNS names know no case, and two names that
// differ in nothing else are not worth telling apart.
bool
tls_glob(const char *pattern, const char *text)
{
    const char *star = NULL, *resume = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            resume = text;
        } else if (*pattern && strncasecmp(pattern, text, 1) == 0) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return !*pattern;
}

const char *
tls_printable(const char *text, char *buf, size_t cap)
{
    return text_escape(buf, cap, (struct bytes){(const uint8_t *)text, strlen(text)});
}

// Text that lies in a certificate; false for what holds a zero byte, the old trick to be taken for
// another.
static bool
plain_text(const unsigned char *p, int n, char *buf, size_t cap)
{
    if (n <= 0 || (size_t)n >= cap || memchr(p, '\0', (size_t)n))
        return false;
    memcpy(buf, p, (size_t)n);
    buf[n] = '\0';
    return true;
}

static bool
text_of(const GENERAL_NAME *g, char *buf, size_t cap)
{
    int type;
    const ASN1_STRING *s = GENERAL_NAME_get0_value(g, &type);
    if (type == GEN_DNS || type == GEN_EMAIL || type == GEN_URI)
        return plain_text(ASN1_STRING_get0_data(s), ASN1_STRING_length(s), buf, cap);
    if (type != GEN_IPADD)
        return false;
    int family = ASN1_STRING_length(s) == 4 ? AF_INET : AF_INET6;
    return (family == AF_INET || ASN1_STRING_length(s) == 16) &&
           inet_ntop(family, ASN1_STRING_get0_data(s), buf, (socklen_t)cap);
}

typedef bool name_visit(const char *name, void *arg);

static bool
visit_cns(X509 *x, name_visit *visit, void *arg)
{
    char text[256];
    X509_NAME *subject = X509_get_subject_name(x);
    for (int i = -1; (i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0;) {
        unsigned char *utf8;
        X509_NAME_ENTRY *e = X509_NAME_get_entry(subject, i);
        int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(e));
        if (n < 0)
            continue;
        bool found = plain_text(utf8, n, text, sizeof text) && visit(text, arg);
        OPENSSL_free(utf8);
        if (found)
            return true;
    }
    return false;
}

static bool
visit_sans(X509 *x, name_visit *visit, void *arg)
{
    char text[256];
    bool found = false;
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && !found && i < sk_GENERAL_NAME_num(names); i++)
        found = text_of(sk_GENERAL_NAME_value(names, i), text, sizeof text) && visit(text, arg);
    GENERAL_NAMES_free(names);
    return found;
}

static bool
is_allowed(const char *name, void *arg)
{
    const struct tls_context *c = arg;
    for (size_t i = 0; i < c->allow_count; i++)
        if (tls_glob(c->allow[i], name))
            return true;
    return false;
}

bool
tls_allowed(const struct tls_context *c, X509 *x)
{
    void *arg = (void *)(uintptr_t)c;
    return !c->allow_count || visit_cns(x, is_allowed, arg) || visit_sans(x, is_allowed, arg);
}

struct names {
    char *buf;
    size_t cap, used;
};

static bool
take_first(const char *name, void *arg)
{
    struct names *l = arg;
    tls_printable(name, l->buf, l->cap);
    return true;
}

const char *
tls_name(X509 *x, char *buf, size_t cap)
{
    struct names l = {buf, cap, 0};
    buf[0] = '\0';
    if (x && !visit_cns(x, take_first, &l))
        visit_sans(x, take_first, &l);
    return buf;
}

static bool
append(const char *name, void *arg)
{
    struct names *l = arg;
    char text[100];
    int n = snprintf(l->buf + l->used, l->cap - l->used, "%s%s", l->used ? ", " : "",
                     tls_printable(name, text, sizeof text));
    l->used += n > 0 ? (size_t)n : 0;
    return l->used >= l->cap;
}

const char *
tls_names(X509 *x, char *buf, size_t cap)
{
    struct names l = {buf, cap, 0};
    buf[0] = '\0';
    if (x)
        visit_sans(x, append, &l);
    return buf;
}
