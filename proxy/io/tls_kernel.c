// SPDX-License-Identifier: BSD-3-Clause
// kTLS: the kernel encrypts, so that the user's buffers go to the socket as they are. It takes a
// socket that OpenSSL itself writes to until the keys are agreed on; then OpenSSL gives them to the
// kernel, raw sends plaintext, and OpenSSL writes what is not data (alerts, tickets, its farewell)
// as control messages between raw's.
//
// Receiving stays ours: OpenSSL 3.0 cannot have the kernel decrypt TLS 1.3, and where it can, each
// record is a system call. A peer that asks us for a new key (no known NBD peer does) is refused:
// that needs Linux 6.14 and an OpenSSL that knows it.
//
// OpenSSL sends with write(2): the process must ignore SIGPIPE, as ours does.
//
// What it needs: Linux with CONFIG_TLS=y, or =m and `modprobe tls` before we start; OpenSSL built
// with enable-ktls, as Debian's is.
#include "tls_inside.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef OPENSSL_NO_KTLS
bool
tls_kernel_offers(char *why, size_t whylen)
{
    snprintf(why, whylen, "this OpenSSL was built without enable-ktls");
    return false;
}
#else
// A socket that is not connected is refused for that (ENOTCONN), but only by a kernel that knows
// the protocol.
bool
tls_kernel_offers(char *why, size_t whylen)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 ? -1 : setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", 4);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (rc == 0 || (fd >= 0 && error == ENOTCONN)) {
        snprintf(why, whylen, "the kernel has it");
        return true;
    }
    snprintf(why, whylen,
             "the kernel does not offer it (%s): it needs CONFIG_TLS, and if that is a "
             "module, `modprobe tls`",
             strerror(error));
    return false;
}
#endif

static bool
is_tcp(int fd)
{
    int protocol = 0;
    socklen_t len = sizeof protocol;
    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 && protocol == IPPROTO_TCP;
}

// What lies in raw's queue is plaintext that must go first.
BIO *
tls_kernel_bio(struct tls *t)
{
    const struct stream *raw = t->raw;
    if (!t->context->kernel || raw->queue.count || raw->polling || !is_tcp(raw->fd))
        return NULL;
    return BIO_new_socket(raw->fd, BIO_NOCLOSE);
}

bool
tls_kernel_sends(struct tls *t)
{
    if (!t->kernel)
        return false;
    if (BIO_get_ktls_send(SSL_get_wbio(t->ssl)))
        return true;
    // It does not know this cipher: go on as without it.
    BIO *own = SSL_get_rbio(t->ssl);
    if (BIO_up_ref(own))
        SSL_set0_wbio(t->ssl, own);
    t->kernel = false;
    return false;
}
