// SPDX-License-Identifier: BSD-3-Clause
// A kernel that knows TLS, for those that don't: it takes the place of the C library's calls in
// this program and encrypts what is sent once it has been given a key, as tls(4)'s documentation
// (Documentation/networking/tls.rst) says. AES-GCM, sending only.
#ifndef TEST_IO_FAKE_KTLS_H
#define TEST_IO_FAKE_KTLS_H

#include <stdbool.h>

struct fake_ktls {
    bool absent;        // as on a kernel without it
    bool refuses_key;   // knows TLS, but not this cipher
    unsigned taken;     // keys
    unsigned data;      // records of data sent
    unsigned control;   // other records
    unsigned busy_once; // so many sends find the socket full first
};
extern struct fake_ktls fake_ktls;

#endif
