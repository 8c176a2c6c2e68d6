// SPDX-License-Identifier: BSD-3-Clause
// What a TLS handshake costs the ring that it is made on: our server and our client, each on two
// rings that share one context, by kind of key, resumed and with PSK. CPU of the servers' threads.
//
// usage: bench-tls-hands [handshakes of each kind, default 1000]
#include <io/address.h>
#include <io/dial.h>
#include <io/tls.h>

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RINGS 2
#define WAYS  8 // connections that a client ring keeps in their handshake

static void
die(const char *what)
{
    fprintf(stderr, "bench-tls-hands: %s\n", what);
    exit(1);
}

struct side {
    struct ring *ring;
    struct tls_context *tls;  // NULL: a new one for each connection, so that none resumes
    struct acceptor acceptor; // of a server
    struct address to;        // of a client
    unsigned left, open;      // likewise: to begin, and begun
    unsigned resumed;
    double cpu;
    pthread_t thread;
    struct letter stop;
};

static char directory[] = "/tmp/bench-tls-XXXXXX", psk[64];

static struct tls_context *
server_context(bool with_psk)
{
    char err[TLS_TEXT];
    struct tls_context *c =
        tls_server_new(&(struct tls_server){.certificates = with_psk ? NULL : directory,
                                            .psk_file = with_psk ? psk : NULL},
                       err, sizeof err);
    if (!c)
        die(err);
    return c;
}

static struct tls_context *
client_context(bool with_psk)
{
    char err[TLS_TEXT];
    struct tls_context *c = tls_client_new(&(struct tls_client){.certificates = directory,
                                                                .psk_file = with_psk ? psk : NULL,
                                                                .psk_user = "bench",
                                                                .hostname = "localhost",
                                                                .verify_peer = true},
                                           err, sizeof err);
    if (!c)
        die(err);
    return c;
}

struct connection {
    struct side *side;
    struct stream *stream;
};

static double
cpu_seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void connect_next(struct side *s);

static void
connection_end(struct connection *c)
{
    struct side *s = c->side;
    stream_close(c->stream, STREAM_FINISH);
    free(c);
    if (s->acceptor.accepted)
        return;
    s->open--;
    connect_next(s);
    if (!s->left && !s->open)
        ring_stop(s->ring);
}

// The server says one byte; the client, who has its ticket by then, leaves.
static void
ready(void *ctx)
{
    struct connection *c = ctx;
    const struct tls_facts *f = stream_tls(c->stream);
    size_t n;
    stream_peek(c->stream, &n);
    stream_take(c->stream, n);
    stream_want(c->stream, 28);
    if (!f)
        return;
    if (c->side->acceptor.accepted && !stream_ended(c->stream)) {
        stream_send_copy(c->stream, "x", 1);
    } else if (n || stream_ended(c->stream)) {
        c->side->resumed += f->resumed;
        connection_end(c);
    }
}

static void
broken(void *ctx)
{
    struct connection *c = ctx;
    const char *why = stream_tls_error(c->stream);
    if (why)
        die(why);
    connection_end(c);
}

static const struct stream_handler handler = {.ready = ready, .broken = broken};

static void
begin(struct side *s, int fd)
{
    char err[TLS_TEXT];
    struct connection *c = malloc(sizeof *c);
    *c = (struct connection){.side = s, .stream = stream_new(s->ring, fd, 0, &handler, c)};
    stream_want(c->stream, 28);
    struct tls_context *tls = s->tls ? tls_ref(s->tls) : client_context(false);
    if (!stream_start_tls(c->stream, tls, err, sizeof err))
        die(err);
    tls_unref(tls);
}

static void
accepted(struct acceptor *a, int fd)
{
    begin((struct side *)((char *)a - offsetof(struct side, acceptor)), fd);
}

static void
dialled(void *ctx, int fd, const char *err)
{
    if (fd < 0)
        die(err);
    begin(ctx, fd);
}

static void
connect_next(struct side *s)
{
    if (!s->left)
        return;
    s->left--;
    s->open++;
    if (!dial_start(s->ring, &s->to, ring_clock(s->ring) + 20 * NS_PER_SEC, dialled, s))
        die("out of memory");
}

static void *
side_main(void *arg)
{
    struct side *s = arg;
    for (int i = 0; i < WAYS; i++)
        connect_next(s);
    double start = cpu_seconds();
    ring_run(s->ring);
    s->cpu = cpu_seconds() - start;
    return NULL;
}

static void
side_stop(struct letter *l)
{
    ring_stop(((struct side *)((char *)l - offsetof(struct side, stop)))->ring);
}

static void
side_open(struct side *s, struct tls_context *tls)
{
    char err[256];
    s->tls = tls;
    s->ring = ring_new(err, sizeof err);
    if (!s->ring)
        die(err);
}

static void
server_open(struct side *s, struct tls_context *tls, struct address *at)
{
    char err[256];
    struct sockaddr_in sin;
    socklen_t len = sizeof sin;
    struct address any = {.kind = ADDRESS_TCP, .host = "127.0.0.1", .port = "0"};
    side_open(s, tls);
    s->acceptor.fd = address_listen(&any, 0, err, sizeof err);
    if (s->acceptor.fd < 0)
        die(err);
    getsockname(s->acceptor.fd, (struct sockaddr *)&sin, &len);
    snprintf(any.port, sizeof any.port, "%u", ntohs(sin.sin_port));
    *at = any;
    s->acceptor.accepted = accepted;
    s->stop.deliver = side_stop;
    accept_start(s->ring, &s->acceptor);
}

static void
run(const char *name, struct tls_context *server, struct tls_context *client, unsigned count)
{
    struct side servers[RINGS] = {0}, clients[RINGS] = {0};
    double cpu = 0;
    unsigned resumed = 0;
    for (int i = 0; i < RINGS; i++) {
        server_open(&servers[i], server, &clients[i].to);
        side_open(&clients[i], client);
        clients[i].left = count / RINGS;
        pthread_create(&servers[i].thread, NULL, side_main, &servers[i]);
        pthread_create(&clients[i].thread, NULL, side_main, &clients[i]);
    }
    for (int i = 0; i < RINGS; i++) {
        pthread_join(clients[i].thread, NULL);
        ring_post(servers[i].ring, &servers[i].stop);
        pthread_join(servers[i].thread, NULL);
        accept_stop(&servers[i].acceptor);
        close(servers[i].acceptor.fd);
        ring_free(servers[i].ring);
        ring_free(clients[i].ring);
        cpu += servers[i].cpu;
        resumed += clients[i].resumed;
    }
    printf("%-26s %7.3f ms a handshake, %3u%% resumed\n", name, cpu * 1e3 / count,
           resumed * 100 / count);
    tls_unref(server);
    tls_unref(client);
}

static void
make_files(const char *dir, const char *kind)
{
    char command[700];
    snprintf(command, sizeof command,
             "cd %s && openssl req -x509 -newkey %s -nodes -days 1 -subj /CN=bench -addext "
             "subjectAltName=DNS:localhost -keyout server-key.pem -out server-cert.pem 2>/dev/null "
             "&& cp server-cert.pem ca-cert.pem && echo bench:$(openssl rand -hex 32) >psk",
             dir, kind);
    if (system(command) != 0)
        die("the openssl program made no certificates");
}

int
main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
    static const char *const kinds[][2] = {{"ECDSA P-256", "ec -pkeyopt ec_paramgen_curve:P-256"},
                                           {"RSA 2048", "rsa:2048"},
                                           {"RSA 4096", "rsa:4096"}};
    char command[64];
    if (count < RINGS || !resolver_start() || !mkdtemp(directory))
        die("usage: bench-tls-hands [handshakes]");
    snprintf(psk, sizeof psk, "%s/psk", directory);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        make_files(directory, kinds[i][1]);
        run(kinds[i][0], server_context(false), NULL, count);
    }
    run("tickets, where there is one", server_context(false), client_context(false), count);
    run("PSK", server_context(true), client_context(true), count);
    snprintf(command, sizeof command, "rm -rf %s", directory);
    resolver_stop();
    return system(command) != 0;
}
