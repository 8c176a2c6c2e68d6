// SPDX-License-Identifier: BSD-3-Clause
// NBD URIs (NBD's doc/uri.md). The grammar is liburiparser's; percent-decoding is ours, for an
// export name may hold any byte but NUL.
#include <io/address.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <uriparser/Uri.h>

#define DEFAULT_PORT "10809"

struct parse {
    const UriUriA *uri;
    struct nbd_uri *out;
    char *err;
    size_t errlen;
};

static bool
wrong(struct parse *p, const char *what)
{
    snprintf(p->err, p->errlen, "%s", what);
    return false;
}

static bool
is(UriTextRangeA r, const char *text)
{
    size_t n = strlen(text);
    return r.first && (size_t)(r.afterLast - r.first) == n && strncasecmp(r.first, text, n) == 0;
}

static int
hex(char c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

// Appends the decoded range; false where it does not fit or holds a NUL, which nothing here may.
static bool
decode(const char *p, const char *end, uint8_t *to, size_t cap, size_t *len)
{
    while (p < end) {
        uint8_t c = (uint8_t)*p++;
        if (c == '%') { // the parser has seen to it that two hex digits follow
            c = (uint8_t)(hex(p[0]) << 4 | hex(p[1]));
            p += 2;
        }
        if (!c || *len == cap)
            return false;
        to[(*len)++] = c;
    }
    return true;
}

static bool
decode_text(UriTextRangeA r, char *to, size_t cap)
{
    size_t len = 0;
    bool ok = decode(r.first, r.afterLast, (uint8_t *)to, cap - 1, &len);
    to[len] = '\0';
    return ok;
}

static bool
parse_scheme(struct parse *p)
{
    static const struct {
        const char *name;
        bool tls;
        enum address_kind kind;
    } schemes[] = {{"nbd", false, ADDRESS_TCP},
                   {"nbds", true, ADDRESS_TCP},
                   {"nbd+unix", false, ADDRESS_UNIX},
                   {"nbds+unix", true, ADDRESS_UNIX}};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (is(p->uri->scheme, schemes[i].name)) {
            p->out->tls = schemes[i].tls;
            p->out->address.kind = schemes[i].kind;
            return true;
        }
    }
    return wrong(p, "not an NBD URI: it begins with nbd://, nbds://, nbd+unix:// or nbds+unix://");
}

static bool
parse_port(struct parse *p)
{
    UriTextRangeA r = p->uri->portText;
    struct address *a = &p->out->address;
    if (!r.first || r.first == r.afterLast) {
        memcpy(a->port, DEFAULT_PORT, sizeof DEFAULT_PORT);
        return true;
    }
    // The parser takes digits only.
    unsigned long v = r.afterLast - r.first > 9 ? 0 : strtoul(r.first, NULL, 10);
    if (v == 0 || v > 65535)
        return wrong(p, "the port of the URI is not a number from 1 to 65535");
    snprintf(a->port, sizeof a->port, "%lu", v);
    return true;
}

static bool
parse_authority(struct parse *p)
{
    const UriUriA *u = p->uri;
    bool has_host = u->hostText.first && u->hostText.first != u->hostText.afterLast;
    if (u->userInfo.first && !decode_text(u->userInfo, p->out->user, sizeof p->out->user))
        return wrong(p, "the user of the URI is too long or not text");
    if (p->out->address.kind == ADDRESS_UNIX)
        return !has_host ||
               wrong(p, "a URI of a Unix socket has no host: nbd+unix:///EXPORT?socket=/PATH");
    if (!has_host)
        return wrong(p, "the URI names no host: nbd://HOST[:PORT]/EXPORT");
    if (!decode_text(u->hostText, p->out->address.host, sizeof p->out->address.host))
        return wrong(p, "the host of the URI is too long or not text");
    return parse_port(p);
}

// "The path part of the URI except for the leading / character".
static bool
parse_export(struct parse *p)
{
    struct nbd_uri *u = p->out;
    static const char slash[] = "/";
    for (const UriPathSegmentA *s = p->uri->pathHead; s; s = s->next) {
        if ((s != p->uri->pathHead &&
             !decode(slash, &slash[1], u->export, sizeof u->export, &u->export_len)) ||
            !decode(s->text.first, s->text.afterLast, u->export, sizeof u->export, &u->export_len))
            return wrong(p, "the export name of the URI is longer than 4096 bytes or holds a NUL");
    }
    return true;
}

static bool
parse_verify_peer(struct parse *p, UriTextRangeA value)
{
    if (!is(value, "0") && !is(value, "1"))
        return wrong(p, "the URI's parameter tls-verify-peer is 0 or 1");
    p->out->tls_verify_peer = *value.first - '0';
    return true;
}

static bool
parse_parameter(struct parse *p, UriTextRangeA key, UriTextRangeA value)
{
    struct nbd_uri *u = p->out;
    const struct {
        const char *name;
        char *to;
        size_t cap;
    } texts[] = {{"socket", u->address.path, sizeof u->address.path},
                 {"tls-certificates", u->tls_certificates, sizeof u->tls_certificates},
                 {"tls-psk-file", u->tls_psk_file, sizeof u->tls_psk_file},
                 {"tls-hostname", u->tls_hostname, sizeof u->tls_hostname}};
    if (is(key, "tls-verify-peer"))
        return parse_verify_peer(p, value);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!is(key, texts[i].name))
            continue;
        if (texts[i].to[0])
            snprintf(p->err, p->errlen, "the URI has %s twice", texts[i].name);
        else if (decode_text(value, texts[i].to, texts[i].cap) && texts[i].to[0])
            return true;
        else
            snprintf(p->err, p->errlen, "the URI's parameter %s is empty, too long or not text",
                     texts[i].name);
        return false;
    }
    // "Any other query parameters which the client does not understand SHOULD be diagnosed".
    snprintf(p->err, p->errlen,
             "the URI's parameter %.*s is not known: socket, tls-certificates, tls-psk-file, "
             "tls-hostname or tls-verify-peer",
             (int)(key.afterLast - key.first), key.first);
    return false;
}

static bool
parse_query(struct parse *p)
{
    const char *at = p->uri->query.first, *end = p->uri->query.afterLast;
    while (at && at < end) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        UriTextRangeA key = {.first = at, .afterLast = next ? next : end};
        UriTextRangeA value = {.first = key.afterLast, .afterLast = key.afterLast};
        const char *equals = memchr(at, '=', (size_t)(key.afterLast - at));
        if (equals) {
            key.afterLast = equals;
            value.first = equals + 1;
        }
        if (key.first != value.afterLast && !parse_parameter(p, key, value))
            return false;
        at = next ? next + 1 : end;
    }
    struct address *a = &p->out->address;
    if (a->kind == ADDRESS_UNIX && !a->path[0])
        return wrong(p, "the URI names no socket: nbd+unix:///EXPORT?socket=/PATH");
    if (a->kind != ADDRESS_UNIX && a->path[0])
        return wrong(p, "the URI's parameter socket needs nbd+unix:// or nbds+unix://");
    return true;
}

bool
nbd_uri_parse(const char *text, struct nbd_uri *u, char *err, size_t errlen)
{
    UriUriA uri;
    const char *at;
    memset(u, 0, sizeof *u);
    u->tls_verify_peer = -1;
    if (uriParseSingleUriA(&uri, text, &at) != URI_SUCCESS) {
        snprintf(err, errlen, "not a URI (RFC 3986), from '%.40s' on: nbd://HOST[:PORT]/EXPORT",
                 at);
        return false;
    }
    struct parse p = {.uri = &uri, .out = u, .err = err, .errlen = errlen};
    bool ok = parse_scheme(&p);
    if (ok && uri.fragment.first)
        ok = wrong(&p, "an NBD URI has no #fragment (write %23 in an export name)");
    ok = ok && parse_authority(&p) && parse_export(&p) && parse_query(&p);
    uriFreeUriMembersA(&uri);
    return ok;
}
