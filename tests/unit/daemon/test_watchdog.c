// SPDX-License-Identifier: BSD-3-Clause
// Who keeps systemd's watchdog from being fed.
#include "watchdog.h"

#include <criterion/criterion.h>

Test(watchdog, fed_when_all_letters_are_back)
{
    static const bool out[3] = {false};
    cr_expect_eq(watchdog_next_stuck(out, 3, 0), 3);
    cr_expect_eq(watchdog_next_stuck(out, 0, 0), 0, "no worker, none stuck");
}

Test(watchdog, one_that_is_out_is_enough)
{
    for (unsigned i = 0; i < 4; i++) {
        bool out[4] = {false};
        out[i] = true;
        cr_expect_eq(watchdog_next_stuck(out, 4, 0), i);
        cr_expect_eq(watchdog_next_stuck(out, 4, i + 1), 4);
    }
}

Test(watchdog, all_of_them_one_after_the_other)
{
    static const bool out[4] = {true, false, true, true};
    unsigned found[4], n = 0;
    for (unsigned i = 0; (i = watchdog_next_stuck(out, 4, i)) < 4; i++)
        found[n++] = i;
    cr_assert_eq(n, 3);
    cr_expect(found[0] == 0 && found[1] == 2 && found[2] == 3);
}
