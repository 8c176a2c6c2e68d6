// SPDX-License-Identifier: BSD-3-Clause
#include "log_sites.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
keep_sample(struct log_site *site, const char *text, size_t len)
{
    size_t n = len < sizeof site->like - 1 ? len : sizeof site->like - 1;
    memcpy(site->like, text, n);
    site->like[n] = '\0';
}

bool
log_sites_admit(struct log_sites *sites, struct log_site *site, const char *text, size_t len,
                nstime now)
{
    if (log_bound_admit(&site->bound, LOG_RATE_SITE, now)) {
        keep_sample(site, text, len);
        return true;
    }
    if (!site->dropped++) {
        site->next = sites->first;
        sites->first = site;
    }
    return false;
}

uint64_t
log_sites_take(struct log_sites *sites, char *text, size_t cap)
{
    struct log_site *site = sites->first;
    if (!site)
        return 0;
    uint64_t dropped = site->dropped;
    snprintf(text, cap, "%" PRIu64 " line%s like this %s dropped (more than %u a second): \"%s%s\"",
             dropped, dropped == 1 ? "" : "s", dropped == 1 ? "was" : "were",
             LOG_RATE_SITE.per_second, site->like,
             strlen(site->like) == sizeof site->like - 1 ? "..." : "");
    sites->first = site->next;
    site->next = NULL;
    site->dropped = 0;
    return dropped;
}
