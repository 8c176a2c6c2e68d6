// SPDX-License-Identifier: BSD-3-Clause
#include "budget.h"
#include "control_picture.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(budget, what_is_saved_up_may_be_spent_at_once)
{
    struct budget b = {.part = 100, .most = NS_PER_SEC};
    nstime now = 5 * NS_PER_SEC;
    cr_assert_not(budget_is_spent(&b, now));
    budget_spend(&b, 900 * NS_PER_MS, now);
    cr_assert_not(budget_is_spent(&b, now));
    budget_spend(&b, 600 * NS_PER_MS, now);
    cr_assert(budget_is_spent(&b, now), "half a second more than there was");
    cr_assert(budget_is_spent(&b, now + 49 * NS_PER_SEC));
    cr_assert_not(budget_is_spent(&b, now + 51 * NS_PER_SEC));
}

Test(budget, idle_time_is_saved_up_only_so_far)
{
    struct budget b = {.part = 100, .most = NS_PER_SEC};
    cr_assert_not(budget_is_spent(&b, 1000000 * NS_PER_SEC));
    budget_spend(&b, NS_PER_SEC, 1000000 * NS_PER_SEC);
    cr_assert(budget_is_spent(&b, 1000000 * NS_PER_SEC));
}

// Ten a second, each 6 ms, look by look: in the long run 1 % of the time is spent, whatever is
// asked.
Test(budget, a_share_of_all_time_in_the_long_run)
{
    struct budget b = {.part = 100, .most = NS_PER_SEC};
    nstime spent = 0, now = 0;
    for (unsigned i = 0; i < 100000; i++, now += NS_PER_SEC / 10)
        if (!budget_is_spent(&b, now)) {
            budget_spend(&b, 6 * NS_PER_MS, now);
            spent += 6 * NS_PER_MS;
        }
    nstime earned = now / 100 + NS_PER_SEC;
    cr_assert(spent <= earned + 6 * NS_PER_MS && spent >= earned - 12 * NS_PER_MS, "%.3f of %.3f s",
              (double)spent / 1e9, (double)earned / 1e9);
}

// Looks that follow each other faster than the clock's part of a nanosecond is earned.
Test(budget, many_looks_lose_nothing)
{
    struct budget b = {.part = 100, .most = 1000};
    nstime now = 1;
    budget_spend(&b, 1500, now);
    for (; now < 49 * 1000; now += 7)
        cr_assert(budget_is_spent(&b, now));
    cr_assert_not(budget_is_spent(&b, 52 * 1000));
}

Test(control_picture, the_last_one_and_its_age)
{
    struct control_picture p = {0};
    size_t len;
    cr_assert_null(control_picture_line(&p, NS_PER_SEC, &len));
    json_t *one = json_pack("{s:i}", "a", 1), *two = json_pack("{s:i}", "a", 2);
    control_picture_take(&p, one, 1, NS_PER_SEC);
    control_picture_take(&p, two, 1, 2 * NS_PER_SEC); // the same, for another who has asked for it
    char *line = control_picture_line(&p, 3 * NS_PER_SEC, &len);
    const char *expected = "{\"version\":1,\"age_ms\":2000,\"result\":{\"a\":1}}\n";
    cr_assert(len == strlen(expected) && memcmp(line, expected, len) == 0);
    free(line);
    control_picture_take(&p, two, 2, 3 * NS_PER_SEC);
    line = control_picture_line(&p, 3 * NS_PER_SEC, &len);
    expected = "{\"version\":1,\"age_ms\":0,\"result\":{\"a\":2}}\n";
    cr_assert(len == strlen(expected) && memcmp(line, expected, len) == 0);
    free(line);
    control_picture_take(&p, NULL, 3, 4 * NS_PER_SEC); // out of memory
    cr_assert_null(control_picture_line(&p, 4 * NS_PER_SEC, &len));
    control_picture_drop(&p);
    json_decref(one);
    json_decref(two);
}
