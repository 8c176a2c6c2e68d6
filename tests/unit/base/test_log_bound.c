// SPDX-License-Identifier: BSD-3-Clause
#include <base/log_bound.h>
#include <criterion/criterion.h>

static unsigned
admitted(struct log_bound *b, struct log_rate rate, unsigned asked, nstime from, nstime step)
{
    unsigned n = 0;
    for (unsigned i = 0; i < asked; i++)
        n += log_bound_admit(b, rate, from + i * step);
    return n;
}

static void
check(struct log_rate rate)
{
    struct log_bound b = {0};
    nstime now = 5 * NS_PER_SEC;
    cr_expect_eq(admitted(&b, rate, 3 * rate.burst, now, 0), rate.burst);
    // The last of ten seconds' lines grows at the tenth.
    cr_expect_eq(admitted(&b, rate, 10000, now, NS_PER_MS), 10 * rate.per_second - 1);
    // A day of silence does not save up more than a burst.
    cr_expect_eq(admitted(&b, rate, 3 * rate.burst, now + 86400 * NS_PER_SEC, 0), rate.burst);
}

Test(log_bound, a_burst_and_then_so_many_a_second)
{
    check(LOG_RATE_SITE);
    check(LOG_RATE_ALL);
}

Test(log_bound, a_clock_that_stands_grows_nothing)
{
    struct log_bound b = {0};
    cr_expect_eq(admitted(&b, LOG_RATE_SITE, 1000, 0, 0), LOG_RATE_SITE.burst);
    cr_expect_not(log_bound_admit(&b, LOG_RATE_SITE, 0));
}
