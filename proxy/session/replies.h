// SPDX-License-Identifier: BSD-3-Clause
// What replies.c and translate.c share: replies that are passed on, in the client's format. Each
// function takes what it passes on from upstream's stream; `p` is the reply's header there.
#ifndef SESSION_REPLIES_H
#define SESSION_REPLIES_H

#include "session.h"

// Data of a READ, out of a chunk or a simple reply. `whole`: with the data, which is all here;
// otherwise without, and without DONE.
void translate_data(struct session *s, const struct slot *slot, const struct chunk_facts *facts,
                    uint8_t *p, bool whole);
void translate_hole(struct session *s, const struct slot *slot, const struct chunk_facts *facts,
                    uint8_t *p);
// `error`: as the client may see it.
void translate_error(struct session *s, const struct slot *slot, const struct reply *h,
                     uint32_t error, uint8_t *p);
void translate_none(struct session *s, const struct slot *slot, uint8_t *p);
// What stands before the extents of a block status chunk.
void translate_status(struct session *s, const struct slot *slot, const struct chunk_facts *facts,
                      uint8_t *p);
// The next n extents at `p`. NULL, or why they are a breach.
const char *translate_extents(struct session *s, uint8_t *p, unsigned n);
// The end of a reply that upstream has told in another way.
void translate_end(struct session *s, const struct slot *slot);

#endif
