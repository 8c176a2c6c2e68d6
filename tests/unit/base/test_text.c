// SPDX-License-Identifier: BSD-3-Clause
#include <base/text.h>
#include <criterion/criterion.h>

static const char *
escape(struct bytes b)
{
    static char buf[64];
    return text_escape(buf, sizeof buf, b);
}

Test(text, printable_stays)
{
    cr_expect_str_eq(escape(bytes_str("export-1 (\"a\")~")), "export-1 (\"a\")~");
    cr_expect_str_eq(escape(bytes_of(NULL, 0)), "");
}

Test(text, the_rest_is_escaped)
{
    cr_expect_str_eq(escape(bytes_of("a\0b", 3)), "a\\x00b");
    cr_expect_str_eq(escape(bytes_str("\x1b[2J\n\r\t")), "\\x1b[2J\\x0a\\x0d\\x09");
    cr_expect_str_eq(escape(bytes_str("\x7f\x80\xff")), "\\x7f\\x80\\xff");
    cr_expect_str_eq(escape(bytes_str("back\\slash")), "back\\\\slash");
}

Test(text, cut_with_dots)
{
    char buf[12];
    cr_expect_str_eq(text_escape(buf, sizeof buf, bytes_str("abcdefghijklmnop")), "abcde...");
    cr_expect_str_eq(text_escape(buf, sizeof buf, bytes_str("abcde")), "abcde");
}

Test(text, never_longer_than_its_buffer)
{
    uint8_t all[600];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)(i * 7);
    for (size_t cap = 8; cap < 300; cap++) {
        char buf[301];
        memset(buf, '#', sizeof buf);
        text_escape(buf, cap, bytes_of(all, sizeof all));
        cr_assert_not_null(memchr(buf, '\0', cap), "terminated within %zu", cap);
        cr_assert_eq(buf[cap], '#', "nothing behind %zu", cap);
        for (const char *c = buf; *c; c++)
            cr_assert(*c >= 0x20 && *c < 0x7f);
    }
}
