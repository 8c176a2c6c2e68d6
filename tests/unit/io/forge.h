// SPDX-License-Identifier: BSD-3-Clause
// Records that no library would send: those of a client of TLS 1.3 with TLS_AES_128_GCM_SHA256,
// made by hand from its traffic secret (RFC 8446, sections 5.2, 5.3, 7.3).
#ifndef TEST_IO_FORGE_H
#define TEST_IO_FORGE_H

#include "rig_tls.h"

struct forge {
    int fd;
    uint8_t secret[32], key[16], iv[12];
    uint64_t sequence;
    size_t cut; // only so many bytes of the next are sent; 0: all
    bool flip;  // a bit of the next is
};
void forge_listen(struct forge *f, struct peer *p); // before peer_start()
void forge_begin(struct forge *f, struct peer *p);  // in the peer's talk
bool forge_record(struct forge *f, uint8_t type, const void *data, size_t n);

#endif
