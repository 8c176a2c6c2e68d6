// SPDX-License-Identifier: BSD-3-Clause
#include <zero/permit.h>

bool
permit_take(struct permits *p, uint64_t address, uint64_t bytes)
{
    int free_slot = -1;
    for (int i = 0; i < PERMITS_A_PROCESS; i++) {
        // Two probes of one storage would measure each other.
        if (p->address[i] == address)
            return false;
        if (p->address[i] == 0)
            free_slot = i;
    }
    if (free_slot < 0)
        return false;
    p->address[free_slot] = address;
    p->bytes[free_slot] = bytes;
    return true;
}

void
permit_return(struct permits *p, uint64_t address)
{
    for (int i = 0; i < PERMITS_A_PROCESS; i++) {
        if (p->address[i] == address) {
            p->address[i] = 0;
            p->bytes[i] = 0;
        }
    }
}
