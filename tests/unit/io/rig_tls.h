// SPDX-License-Identifier: BSD-3-Clause
// One TLS stream on a ring, and at the other end of a socket pair OpenSSL as everybody uses it, on
// a thread, blocking.
#ifndef TEST_IO_RIG_TLS_H
#define TEST_IO_RIG_TLS_H

#include "pki.h"
#include "rig.h"

#include <io/tls.h>
#include <openssl/ssl.h>
#include <pthread.h>

struct peer {
    int fd;
    SSL_CTX *ctx; // made by peer_...(); a test may change it before peer_start()
    SSL *ssl;
    const char *host;             // a client's: to ask for and to verify
    void (*talk)(struct peer *p); // after the handshake, on the thread; NULL: nothing
    void *arg;
    bool abrupt; // closes without close_notify
    SSL_SESSION *resume;
    int handshake; // 1: done
    int alert;     // that we sent it, 0: none
    bool saw_close_notify;
    pthread_t thread;
};
// Clients trust pki.ca; servers show pki.server.
void peer_client(struct peer *p, int fd);
void peer_server(struct peer *p, int fd);
void peer_show(struct peer *p, const struct identity *i);
void peer_psk(struct peer *p, const char *user, const char *hexkey);
void peer_start(struct peer *p);
void peer_join(struct peer *p); // and frees
void peer_versions(struct peer *p, int least, int most);
void peer_write(struct peer *p, const void *data, size_t n);
// Reads exactly n; false: ended or failed before.
bool peer_read(struct peer *p, void *data, size_t n);

// The stream's user: keeps what comes, sends back what it got if it is an echo.
struct user {
    struct rig *rig;
    struct stream *stream;
    uint8_t *got;
    size_t n, cap, expected; // stops the ring when so many have come
    size_t want;
    bool echo, up, ended, truncated, stop_when_up;
    int error;
    char why[TLS_TEXT];
    char peer[128], version[16], cipher[64];
    bool psk, resumed, kernel;
    unsigned readies;
};
void user_open(struct user *u, struct rig *g, int fd);
void user_start_tls(struct user *u, struct tls_context *c);
void user_close(struct user *u, enum stream_close how);

struct tls_context *server_new(const char *dir, bool verify);
struct tls_context *client_new(const char *dir, const char *hostname);
struct tls_context *server_from(const struct tls_server *s);
struct tls_context *client_from(const struct tls_client *c);

// A whole conversation of a few bytes each way (echo of "hello"): from start to finish; u says how
// it was.
void converse(struct rig *g, struct tls_context *c, struct user *u, struct peer *p);

#endif
