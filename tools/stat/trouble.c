// SPDX-License-Identifier: BSD-3-Clause
#include "trouble.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

// To connect one must be allowed to write. Names and numbers of whoever may.
static void
explain_permission(const char *path, char *buf, size_t cap)
{
    struct stat st;
    char owner[64], group[64];
    if (stat(path, &st) < 0) {
        snprintf(buf, cap,
                 "%s: Permission denied: its directory is closed to this user; use sudo, or an "
                 "account that may enter it",
                 path);
        return;
    }
    const struct passwd *p = getpwuid(st.st_uid);
    const struct group *g = getgrgid(st.st_gid);
    snprintf(owner, sizeof owner, "%.40s", p ? p->pw_name : "");
    snprintf(group, sizeof group, "%.40s", g ? g->gr_name : "");
    if (!p)
        snprintf(owner, sizeof owner, "uid %u", (unsigned)st.st_uid);
    if (!g)
        snprintf(group, sizeof group, "gid %u", (unsigned)st.st_gid);
    if (st.st_mode & S_IWGRP)
        snprintf(buf, cap,
                 "%s: Permission denied: it is for user %s and group %s (mode %04o); use sudo, or "
                 "an account in that group",
                 path, owner, group, (unsigned)st.st_mode & 07777);
    else
        snprintf(buf, cap, "%s: Permission denied: it is for user %s only (mode %04o); use sudo",
                 path, owner, (unsigned)st.st_mode & 07777);
}

void
trouble_explain(const char *path, int error, char *buf, size_t cap)
{
    switch (error) {
    case EACCES:
    case EPERM: explain_permission(path, buf, cap); break;
    case ENAMETOOLONG:
        snprintf(buf, cap,
                 "the socket's path is longer than the %zu bytes that it may have: %.300s",
                 sizeof((struct sockaddr_un *)0)->sun_path - 1, path);
        break;
    case ENOENT:
        snprintf(buf, cap,
                 "no answer at %s: No such file or directory (is nbdzero-proxy running? -s SOCKET "
                 "names another socket)",
                 path);
        break;
    case ECONNREFUSED:
        snprintf(buf, cap,
                 "no answer at %s: nobody listens there any more (nbdzero-proxy has ended: see its "
                 "log, and start it)",
                 path);
        break;
    case ETIMEDOUT:
        snprintf(buf, cap,
                 "no answer at %s: timed out (nbdzero-proxy is busy or stands still: see its log)",
                 path);
        break;
    case ECONNRESET:
        snprintf(buf, cap,
                 "no answer at %s: Connection reset by peer (nbdzero-proxy has ended, or too many "
                 "ask it at once: try again)",
                 path);
        break;
    case ENOTSOCK:
    case EPROTOTYPE:
        snprintf(buf, cap, "no answer at %s: that is no control socket of nbdzero-proxy", path);
        break;
    default: snprintf(buf, cap, "no answer at %s: %s", path, strerror(error));
    }
}
