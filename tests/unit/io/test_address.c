// SPDX-License-Identifier: BSD-3-Clause
#include <criterion/criterion.h>
#include <io/address.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *text;
    enum address_kind kind;
    const char *host, *port, *path;
} good[] = {
    {"127.0.0.1:10809", ADDRESS_TCP, "127.0.0.1", "10809", ""},
    {"storage.example:1", ADDRESS_TCP, "storage.example", "1", ""},
    {"[::1]:65535", ADDRESS_TCP, "::1", "65535", ""},
    {"unix:/run/nbd.sock", ADDRESS_UNIX, "", "", "/run/nbd.sock"},
    {"systemd:nbd", ADDRESS_SYSTEMD, "nbd", "", ""},
};

Test(address, reads_and_writes_every_form)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct address a;
        char err[256], text[ADDRESS_TEXT];
        cr_assert(address_parse(good[i].text, &a, err, sizeof err), "%s: %s", good[i].text, err);
        cr_assert_eq(a.kind, good[i].kind);
        cr_assert_str_eq(a.host, good[i].host);
        cr_assert_str_eq(a.port, good[i].port);
        cr_assert_str_eq(a.path, good[i].path);
        cr_assert_str_eq(address_text(&a, text, sizeof text), good[i].text);
    }
}

Test(address, refuses_what_is_none_and_says_why)
{
    static const char *const bad[] = {
        "",
        "localhost",
        "localhost:",
        ":10809",
        "host:0",
        "host:65536",
        "host:12x",
        "::1:10809",
        "[::1]",
        "[::1]10809",
        "[]:1",
        "unix:",
        "unix:rel",
        "systemd:",
        "host:-1",
        "host:00000001",
        "host:99999999999999999999",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct address a;
        char err[256] = "";
        cr_assert_not(address_parse(bad[i], &a, err, sizeof err), "'%s' was taken", bad[i]);
        cr_assert_gt(strlen(err), 10);
    }
    char longer[400], err[256];
    struct address a;
    memset(longer, 'a', sizeof longer);
    memcpy(longer, "unix:/", 6);
    longer[6 + 107] = '\0'; // 108 characters and no room for the terminator
    cr_assert_not(address_parse(longer, &a, err, sizeof err));
    longer[5 + 107] = '\0';
    cr_assert(address_parse(longer, &a, err, sizeof err));
    memset(longer, 'a', sizeof longer);
    memcpy(longer + 256, ":1", 3);
    cr_assert_not(address_parse(longer, &a, err, sizeof err));
    memcpy(longer + 255, ":1", 3);
    cr_assert(address_parse(longer, &a, err, sizeof err));
}

static struct nbd_uri uri;

static void
parse_uri(const char *text)
{
    char err[256];
    cr_assert(nbd_uri_parse(text, &uri, err, sizeof err), "%s: %s", text, err);
}

static void
expect_export(const char *name, size_t len)
{
    cr_assert_eq(uri.export_len, len);
    cr_assert_arr_eq(uri.export, name, len);
}

Test(uri, tcp)
{
    parse_uri("nbd://10.0.0.5");
    cr_assert_not(uri.tls);
    cr_assert_eq(uri.address.kind, ADDRESS_TCP);
    cr_assert_str_eq(uri.address.host, "10.0.0.5");
    cr_assert_str_eq(uri.address.port, "10809");
    cr_assert_eq(uri.tls_verify_peer, -1);
    expect_export("", 0);
    parse_uri("NBDS://alice@[2001:db8::1]:99/disk?tls-psk-file=/a%20b&tls-verify-peer=0");
    cr_assert(uri.tls);
    cr_assert_str_eq(uri.address.host, "2001:db8::1");
    cr_assert_str_eq(uri.address.port, "99");
    cr_assert_str_eq(uri.user, "alice");
    cr_assert_str_eq(uri.tls_psk_file, "/a b");
    cr_assert_eq(uri.tls_verify_peer, 0);
    expect_export("disk", 4);
}

// The table of NBD's doc/uri.md.
Test(uri, export_names)
{
    parse_uri("nbd://example.com/disk");
    expect_export("disk", 4);
    parse_uri("nbd://example.com/");
    expect_export("", 0);
    parse_uri("nbd://example.com//disk");
    expect_export("/disk", 5);
    parse_uri("nbd://example.com/hello%20world");
    expect_export("hello world", 11);
    parse_uri("nbd://example.com/a/b%2Fc/%ff%C3%a9");
    expect_export("a/b/c/\xff\xc3\xa9", 9);
}

Test(uri, unix_socket)
{
    parse_uri("nbd+unix:///disk?socket=/run/nbd%2esock");
    cr_assert_eq(uri.address.kind, ADDRESS_UNIX);
    cr_assert_str_eq(uri.address.path, "/run/nbd.sock");
    expect_export("disk", 4);
    parse_uri("nbds+unix://?socket=/s&tls-hostname=h&tls-certificates=/etc/pki");
    cr_assert(uri.tls);
    expect_export("", 0);
    cr_assert_str_eq(uri.tls_hostname, "h");
    cr_assert_str_eq(uri.tls_certificates, "/etc/pki");
}

Test(uri, refuses_what_is_none_and_says_why)
{
    static const char *const bad[] = {
        "",
        "10.0.0.5:10809",
        "http://example.com/",
        "nbd+vsock://1/",
        "nbd:///disk",
        "nbd://host:0/",
        "nbd://host:65536/",
        "nbd://host:99999999999999999999/",
        "nbd://host/%",
        "nbd://host/%zz",
        "nbd://host/a%00b",
        "nbd://host/a b",
        "nbd://host/#fragment",
        "nbd://host/?socket=/x",
        "nbd://host/?colour=blue",
        "nbd://host/?tls-verify-peer=yes",
        "nbd://host/?tls-verify-peer",
        "nbd+unix:///disk",
        "nbd+unix:///disk?socket=",
        "nbd+unix:///disk?socket=%00abstract",
        "nbd+unix:///disk?socket=/a&socket=/b",
        "nbd+unix://host/disk?socket=/a",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char err[256] = "";
        cr_assert_not(nbd_uri_parse(bad[i], &uri, err, sizeof err), "'%s' was taken", bad[i]);
        cr_assert_gt(strlen(err), 10);
    }
    static char text[6000] = "nbd://host/", err[256];
    memset(text + 11, 'e', 4097);
    cr_assert_not(nbd_uri_parse(text, &uri, err, sizeof err));
    text[11 + 4096] = '\0';
    cr_assert(nbd_uri_parse(text, &uri, err, sizeof err));
}

Test(listen, unix_sockets)
{
    char dir[] = "/tmp/nbdzero-test-XXXXXX", path[64], err[256];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "unix:%s/s", dir);
    struct address a;
    struct stat st;
    cr_assert(address_parse(path, &a, err, sizeof err));
    umask(0);
    int fd = address_listen(&a, 0640, err, sizeof err);
    cr_assert_geq(fd, 0, "%s", err);
    cr_assert_eq(stat(a.path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0640);
    // A live one is refused, and goes on living.
    cr_assert_eq(address_listen(&a, 0640, err, sizeof err), -1);
    cr_assert_not_null(strstr(err, path), "%s", err);
    cr_assert_eq(access(a.path, F_OK), 0);
    // A stale one is replaced, under whatever umask.
    close(fd);
    umask(0777);
    fd = address_listen(&a, 0666, err, sizeof err);
    cr_assert_geq(fd, 0, "%s", err);
    cr_assert_eq(stat(a.path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0666);
    close(fd);
    unlink(a.path);
    // What is no socket is left alone.
    umask(022);
    fclose(fopen(a.path, "w"));
    cr_assert_eq(address_listen(&a, 0600, err, sizeof err), -1);
    cr_assert_eq(access(a.path, F_OK), 0);
    unlink(a.path);
    rmdir(dir);
}

Test(listen, tells_who_the_peer_is)
{
    int fd[2];
    char text[ADDRESS_TEXT], expected[64];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    snprintf(expected, sizeof expected, "unix:pid %d uid %u", getpid(), getuid());
    cr_assert_str_eq(address_of_peer(fd[0], text, sizeof text), expected);
    close(fd[0]);
    close(fd[1]);
}
