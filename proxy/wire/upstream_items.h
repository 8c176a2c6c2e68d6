// SPDX-License-Identifier: BSD-3-Clause
// What an upstream says in one entry of an answer (spec: "Option reply types"): checked, and taken
// apart. All return NULL, or why it is a breach (a literal).
#ifndef WIRE_UPSTREAM_ITEMS_H
#define WIRE_UPSTREAM_ITEMS_H

#include <wire/upstream_handshake.h>

// Parses the data of the option reply `item->reply`, one of SERVER, INFO and META_CONTEXT. What it
// says of the export is added to `export`.
const char *item_parse(struct upstream_item *item, struct upstream_export *export,
                       struct cursor *c);

// Size and flags are known now; they must not have been others before.
const char *export_set(struct upstream_export *export, uint64_t size, uint16_t flags);

#endif
