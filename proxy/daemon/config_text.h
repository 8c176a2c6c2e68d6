// SPDX-License-Identifier: BSD-3-Clause
// The key table as text: conf/nbdzero.conf, and the key reference of nbdzero.conf(5).
#ifndef DAEMON_CONFIG_TEXT_H
#define DAEMON_CONFIG_TEXT_H

#include <stdio.h>

void config_write_sample(FILE *out);
void config_write_reference(FILE *out); // POD

#endif
