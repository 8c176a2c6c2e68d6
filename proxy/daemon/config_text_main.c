// SPDX-License-Identifier: BSD-3-Clause
// Not installed: writes the two texts that repeat the key table, for their files to be renewed
// from:
//   nbdzero-config-text sample > conf/nbdzero.conf
//   nbdzero-config-text reference: what stands between the two marks in docs/man/nbdzero.conf.5.pod
#include "config_text.h"

#include <string.h>

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "sample") == 0) {
        config_write_sample(stdout);
    } else if (argc == 2 && strcmp(argv[1], "reference") == 0) {
        config_write_reference(stdout);
    } else {
        fputs("usage: nbdzero-config-text sample|reference\n", stderr);
        return 2;
    }
    return 0;
}
