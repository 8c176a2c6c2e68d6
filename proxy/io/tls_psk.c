// SPDX-License-Identifier: BSD-3-Clause
// Pre-shared keys: the file, and who asks for which. Lines are "user:hexkey" as psktool writes and
// GnuTLS reads them; "#hex:hexkey" is a user whose name is given in hexadecimal.
#include "tls_inside.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What OpenSSL takes; and less than 16 bytes can be guessed.
#define KEY_MOST  PSK_MAX_PSK_LEN
#define KEY_LEAST 16u
#define LINE_MOST (2 * (KEY_MOST + PSK_MAX_IDENTITY_LEN) + 8)

static int
digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Returns the bytes, or 0: not hexadecimal, or longer than cap.
static size_t
unhex(const char *text, size_t n, uint8_t *to, size_t cap)
{
    if (n % 2 || n / 2 > cap)
        return 0;
    for (size_t i = 0; i < n / 2; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return 0;
        to[i] = (uint8_t)(high << 4 | low);
    }
    return n / 2;
}

// Returns what is wrong, or NULL.
static const char *
parse_user(const char *text, size_t n, char *name, size_t cap)
{
    if (!n)
        return "there is no user before ':'";
    if (text[0] != '#') {
        if (n >= cap)
            return "the user's name is longer than " OPENSSL_MSTR(PSK_MAX_IDENTITY_LEN) " bytes";
        memcpy(name, text, n);
        name[n] = '\0';
        return NULL;
    }
    size_t len = unhex(text + 1, n - 1, (uint8_t *)name, cap - 1);
    if (!len || memchr(name, '\0', len))
        return "after '#' the user's name must be hexadecimal, without zero bytes, at "
               "most " OPENSSL_MSTR(PSK_MAX_IDENTITY_LEN) " bytes";
    name[len] = '\0';
    return NULL;
}

static const char *
parse_line(const char *line, struct psk_user *u)
{
    char name[PSK_MAX_IDENTITY_LEN + 1];
    uint8_t key[KEY_MOST];
    const char *colon = strchr(line, ':');
    if (!colon)
        return "expected user:hexkey, as psktool writes it";
    const char *wrong = parse_user(line, (size_t)(colon - line), name, sizeof name);
    if (wrong)
        return wrong;
    size_t n = unhex(colon + 1, strlen(colon + 1), key, sizeof key);
    if (n < KEY_LEAST) {
        OPENSSL_cleanse(key, sizeof key);
        return "after ':' there must be a key of 16 to " OPENSSL_MSTR(
            PSK_MAX_PSK_LEN) " bytes in hexadecimal; psktool makes one";
    }
    u->name = strdup(name);
    u->key = malloc(n);
    u->key_len = n;
    if (u->key)
        memcpy(u->key, key, n);
    OPENSSL_cleanse(key, sizeof key);
    return u->name && u->key ? NULL : "out of memory";
}

static const char *
add_line(struct psk_users *u, const char *line, unsigned number)
{
    struct psk_user *v = realloc(u->v, (u->count + 1) * sizeof *v);
    if (!v)
        return "out of memory";
    u->v = v;
    v[u->count] = (struct psk_user){.line = number};
    return parse_line(line, &v[u->count++]);
}

static int
by_name(const void *a, const void *b)
{
    const struct psk_user *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static bool
sort(struct psk_users *u, const char *file, char *err, size_t errlen)
{
    qsort(u->v, u->count, sizeof *u->v, by_name);
    for (size_t i = 1; i < u->count; i++) {
        unsigned a = u->v[i - 1].line, b = u->v[i].line;
        if (by_name(&u->v[i - 1], &u->v[i]))
            continue;
        snprintf(err, errlen, "%s: the users of lines %u and %u are the same: remove one", file,
                 a < b ? a : b, a < b ? b : a);
        return false;
    }
    return true;
}

// A comment is what GnuTLS takes no notice of: a line that begins with '#' and has no ':'.
static bool
says_nothing(const char *line)
{
    return !*line || (*line == '#' && !strchr(line, ':'));
}

static bool
read_lines(struct psk_users *u, FILE *f, const char *file, char *err, size_t errlen)
{
    char line[LINE_MOST];
    unsigned number = 0;
    const char *wrong = NULL;
    while (!wrong && fgets(line, sizeof line, f)) {
        number++;
        size_t n = strcspn(line, "\r\n");
        if (!line[n] && !feof(f))
            wrong = "the line is too long, or has a zero byte";
        line[n] = '\0';
        if (!wrong && !says_nothing(line))
            wrong = add_line(u, line, number);
    }
    OPENSSL_cleanse(line, sizeof line);
    if (wrong)
        snprintf(err, errlen, "%s, line %u: %s", file, number, wrong);
    else if (ferror(f))
        snprintf(err, errlen, "%s: %s", file, strerror(errno));
    else if (!u->count)
        snprintf(err, errlen, "%s: there is no user in it: psktool -u USER -p %s makes one", file,
                 file);
    else
        return true;
    return false;
}

bool
psk_load(struct psk_users *u, const char *file, char *err, size_t errlen)
{
    FILE *f = fopen(file, "re");
    *u = (struct psk_users){0};
    if (!f) {
        snprintf(err, errlen, "%s: %s", file, strerror(errno));
        return false;
    }
    setvbuf(f, NULL, _IONBF, 0); // no copy of keys is left in a buffer
    bool ok = read_lines(u, f, file, err, errlen);
    fclose(f);
    if (ok && sort(u, file, err, errlen))
        return true;
    psk_free(u);
    return false;
}

const struct psk_user *
psk_find(const struct psk_users *u, const char *name)
{
    const struct psk_user key = {.name = (char *)(uintptr_t)name};
    return u->count ? bsearch(&key, u->v, u->count, sizeof key, by_name) : NULL;
}

void
psk_free(struct psk_users *u)
{
    for (size_t i = 0; i < u->count; i++) {
        if (u->v[i].key)
            OPENSSL_cleanse(u->v[i].key, u->v[i].key_len);
        free(u->v[i].key);
        free(u->v[i].name);
    }
    free(u->v);
    *u = (struct psk_users){0};
}

static unsigned
give(const uint8_t *key, size_t n, unsigned char *to, unsigned cap)
{
    if (n > cap)
        return 0;
    memcpy(to, key, n);
    return (unsigned)n;
}

static bool
is_readable(const char *name)
{
    while (*name >= ' ' && *name <= '~')
        name++;
    return !*name;
}

// OpenSSL asks here under TLS 1.2 and, as there is no callback for 1.3 alone, under 1.3, too, where
// it binds the key to TLS_AES_128_GCM_SHA256: the hash that GnuTLS uses.
//
// A user that there isn't gets a key that nobody knows, so that he fails as one with a wrong key
// does (RFC 4279, section 2). Under 1.3 that is possible only where no certificate is another way
// in, and no ticket: tickets are asked for here, too.
static unsigned
key_of_peer(SSL *ssl, const char *name, unsigned char *to, unsigned cap)
{
    struct tls *t = tls_of(ssl);
    struct tls_context *c = t->context;
    const struct psk_user *u = psk_find(&c->users, name);
    if (u) {
        t->psk = u;
        return give(u->key, u->key_len, to, cap);
    }
    if (!c->has_certificate || is_readable(name))
        tls_printable(name, t->psk_unknown, sizeof t->psk_unknown);
    if (c->has_certificate && SSL_version(ssl) >= TLS1_3_VERSION)
        return 0;
    return give(c->decoy, sizeof c->decoy, to, cap);
}

static unsigned
key_of_ours(SSL *ssl, const char *hint, char *name, unsigned name_cap, unsigned char *to,
            unsigned cap)
{
    struct tls *t = tls_of(ssl);
    const struct psk_user *u = t->context->user;
    if (strlen(u->name) >= name_cap)
        return 0;
    strcpy(name, u->name);
    t->psk = u;
    return give(u->key, u->key_len, to, cap);
}

void
psk_serve(struct tls_context *c)
{
    SSL_CTX_set_psk_server_callback(c->ssl, key_of_peer);
    if (c->has_certificate)
        return;
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(c->ssl, 0);
}

void
psk_use(struct tls_context *c)
{
    SSL_CTX_set_psk_client_callback(c->ssl, key_of_ours);
}
