// SPDX-License-Identifier: BSD-3-Clause
// Where OpenSSL gets its bytes from and puts them: the buffer that raw has received into, and one
// that raw will send from. Neither side ever blocks: reading says "later", writing takes all.
#include "tls_inside.h"

#include <pthread.h>
#include <string.h>

// Where the pool has nothing to spare.
#define OUT_LEAST (20u << 10)

static int
give(BIO *bio, char *to, int cap)
{
    const struct tls *t = BIO_get_data(bio);
    size_t n;
    const uint8_t *p = stream_peek(t->raw, &n);
    BIO_clear_retry_flags(bio);
    if (cap <= 0)
        return 0;
    if (!n) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (n > (size_t)cap)
        n = (size_t)cap;
    memcpy(to, p, n);
    stream_take(t->raw, n);
    return (int)n;
}

static bool
out_begin(struct tls *t)
{
    struct ring *r = t->raw->ring;
    if (t->out && t->out_taken < t->out->cap)
        return true;
    tls_out_end(t);
    t->out = pool_scarce(&r->pool) ? NULL : pool_take(r);
    if (!t->out)
        t->out = buf_new(r, OUT_LEAST);
    return t->out != NULL;
}

void
tls_out_end(struct tls *t)
{
    if (t->out)
        buf_unref(t->out);
    t->out = NULL;
    t->out_taken = 0;
}

static int
take(BIO *bio, const char *p, int n)
{
    struct tls *t = BIO_get_data(bio);
    struct send_queue *q = &t->raw->queue;
    BIO_clear_retry_flags(bio);
    if (t->raw->error)
        return n; // nobody will hear it
    for (size_t left = n > 0 ? (size_t)n : 0; left;) {
        if (!out_begin(t))
            return -1;
        uint8_t *at = t->out->data + t->out_taken;
        size_t some = t->out->cap - t->out_taken < left ? t->out->cap - t->out_taken : left;
        memcpy(at, p, some);
        if (!queue_join(q, t->out, at, some) && !queue_push(q, t->out, at, some))
            return -1;
        t->out_taken += some;
        p += some;
        left -= some;
    }
    return n;
}

static long
control(BIO *bio, int command, long number, void *p)
{
    return command == BIO_CTRL_FLUSH;
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method;

static void
make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "nbdzero stream");
    if (!method)
        return;
    BIO_meth_set_read(method, give);
    BIO_meth_set_write(method, take);
    BIO_meth_set_ctrl(method, control);
}

BIO *
tls_bio(struct tls *t)
{
    pthread_once(&once, make_method);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return NULL;
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    return bio;
}
