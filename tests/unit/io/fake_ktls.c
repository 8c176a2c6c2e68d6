// SPDX-License-Identifier: BSD-3-Clause
#include "fake_ktls.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif
#define FDS    4096
#define RECORD 16384u
#define DATA   23

struct fake_ktls fake_ktls;

static struct key {
    bool set, is_13;
    uint8_t key[32], iv[12], sequence[8];
    int key_len;
} keys[FDS];

static int
failed(int error)
{
    errno = error;
    return -1;
}

static int
take_key(int fd, const void *value, socklen_t len)
{
    const struct tls_crypto_info *info = value;
    struct key *k = &keys[fd];
    if (fake_ktls.refuses_key)
        return failed(EINVAL);
    if (info->cipher_type == TLS_CIPHER_AES_GCM_128) {
        const struct tls12_crypto_info_aes_gcm_128 *c = value;
        k->key_len = 16;
        memcpy(k->key, c->key, 16);
        memcpy(k->iv, c->salt, 4);
        memcpy(k->iv + 4, c->iv, 8);
        memcpy(k->sequence, c->rec_seq, 8);
    } else if (info->cipher_type == TLS_CIPHER_AES_GCM_256) {
        const struct tls12_crypto_info_aes_gcm_256 *c = value;
        k->key_len = 32;
        memcpy(k->key, c->key, 32);
        memcpy(k->iv, c->salt, 4);
        memcpy(k->iv + 4, c->iv, 8);
        memcpy(k->sequence, c->rec_seq, 8);
    } else {
        return failed(EINVAL);
    }
    k->is_13 = info->version == TLS_1_3_VERSION;
    k->set = true;
    fake_ktls.taken++;
    return 0;
}

static bool
is_connected(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    return getpeername(fd, (struct sockaddr *)&ss, &len) == 0;
}

int
setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
    if (level == IPPROTO_TCP && option == TCP_ULP) {
        if (fake_ktls.absent)
            return failed(ENOENT);
        return is_connected(fd) ? 0 : failed(ENOTCONN);
    }
    if (level == SOL_TLS)
        return option == TLS_TX ? take_key(fd, value, len) : failed(EINVAL);
    return (int)syscall(SYS_setsockopt, fd, level, option, value, len);
}

static void
write_all(int fd, const uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t rc = syscall(SYS_write, fd, p, n);
        struct pollfd wait = {.fd = fd, .events = POLLOUT};
        if (rc < 0 && errno == EAGAIN)
            poll(&wait, 1, 1000);
        else if (rc < 0)
            return;
        p += rc > 0 ? rc : 0;
        n -= rc > 0 ? (size_t)rc : 0;
    }
}

static const EVP_CIPHER *
cipher(const struct key *k)
{
    return k->key_len == 16 ? EVP_aes_128_gcm() : EVP_aes_256_gcm();
}

// RFC 8446, section 5.2; RFC 5246, section 6.2.3.3, with RFC 5288.
static void
send_record(int fd, uint8_t type, const uint8_t *p, size_t n)
{
    struct key *k = &keys[fd];
    uint8_t out[5 + 8 + RECORD + 1 + 16], aad[13], nonce[12];
    size_t head = k->is_13 ? 5 : 13, body = k->is_13 ? n + 1 : n, len = head - 5 + body + 16;
    int some;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    out[0] = k->is_13 ? DATA : type;
    out[1] = out[2] = 3;
    out[3] = (uint8_t)(len >> 8);
    out[4] = (uint8_t)len;
    memcpy(nonce, k->iv, 12);
    if (k->is_13) {
        memcpy(aad, out, 5);
        for (int i = 0; i < 8; i++)
            nonce[4 + i] ^= k->sequence[i];
    } else {
        memcpy(nonce + 4, k->sequence, 8);
        memcpy(out + 5, k->sequence, 8);
        memcpy(aad, k->sequence, 8);
        memcpy(aad + 8, (uint8_t[]){type, 3, 3, (uint8_t)(n >> 8), (uint8_t)n}, 5);
    }
    EVP_EncryptInit_ex(c, cipher(k), NULL, k->key, nonce);
    EVP_EncryptUpdate(c, NULL, &some, aad, k->is_13 ? 5 : 13);
    EVP_EncryptUpdate(c, out + head, &some, p, (int)n);
    if (k->is_13)
        EVP_EncryptUpdate(c, out + head + n, &some, &type, 1);
    EVP_EncryptFinal_ex(c, out + head + body, &some);
    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, 16, out + head + body);
    EVP_CIPHER_CTX_free(c);
    for (int i = 7; i >= 0 && !++k->sequence[i]; i--)
        ;
    write_all(fd, out, head + body + 16);
}

static ssize_t
send_records(int fd, uint8_t type, const uint8_t *p, size_t n)
{
    if (fake_ktls.busy_once) {
        fake_ktls.busy_once--;
        return failed(EAGAIN);
    }
    for (size_t done = 0, some; done < n; done += some) {
        some = n - done < RECORD ? n - done : RECORD;
        send_record(fd, type, p + done, some);
        *(type == DATA ? &fake_ktls.data : &fake_ktls.control) += 1;
    }
    return (ssize_t)n;
}

static bool
is_ours(int fd)
{
    return fd >= 0 && fd < FDS && keys[fd].set;
}

ssize_t
write(int fd, const void *p, size_t n)
{
    return is_ours(fd) ? send_records(fd, DATA, p, n) : syscall(SYS_write, fd, p, n);
}

ssize_t
send(int fd, const void *p, size_t n, int flags)
{
    return is_ours(fd) ? send_records(fd, DATA, p, n)
                       : syscall(SYS_sendto, fd, p, n, flags, NULL, 0);
}

ssize_t
sendmsg(int fd, const struct msghdr *msg, int flags)
{
    if (!is_ours(fd))
        return syscall(SYS_sendmsg, fd, msg, flags);
    const struct cmsghdr *c = CMSG_FIRSTHDR(msg);
    bool control = c && c->cmsg_level == SOL_TLS && c->cmsg_type == TLS_SET_RECORD_TYPE;
    ssize_t sum = 0;
    for (size_t i = 0; i < msg->msg_iovlen; i++) {
        ssize_t n = send_records(fd, control ? *CMSG_DATA(c) : DATA, msg->msg_iov[i].iov_base,
                                 msg->msg_iov[i].iov_len);
        if (n < 0)
            return sum ? sum : n;
        sum += n;
    }
    return sum;
}

// A number that comes back is another socket.
int
close(int fd)
{
    if (fd >= 0 && fd < FDS)
        keys[fd].set = false;
    return (int)syscall(SYS_close, fd);
}
