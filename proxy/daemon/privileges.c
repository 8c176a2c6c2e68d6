// SPDX-License-Identifier: BSD-3-Clause
#include "privileges.h"

#include <base/log.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool given_up;
static int kept_error; // why capabilities could not be given up; 0: they could

// Capabilities ---------------------------------------------------------------------------

// This thread keeps what it has, or gives all up, and hands nothing on.
static bool
set_capabilities(bool keep)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &head, data) < 0)
        return false;
    bool differs = false;
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        differs |= (!keep && data[i].permitted) || data[i].inheritable;
        if (!keep)
            data[i].permitted = data[i].effective = 0;
        data[i].inheritable = 0;
    }
    return !differs || syscall(SYS_capset, &head, data) == 0;
}

static void
empty_bounding_set(void)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

bool
privileges_will_drop(const struct run_as *id)
{
    return geteuid() == 0 && id->given && id->uid != 0;
}

void
privileges_begin(const struct run_as *id)
{
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (privileges_will_drop(id)) {
        empty_bounding_set();
        (void)set_capabilities(true);
    } else if (geteuid() != 0 && !set_capabilities(false)) {
        kept_error = errno;
    }
}

// The user -------------------------------------------------------------------------------

static bool
is_in_group(gid_t gid)
{
    gid_t groups[256];
    int n = getgroups(sizeof groups / sizeof *groups, groups);
    bool is = gid == getegid();
    for (int i = 0; i < n; i++)
        is |= groups[i] == gid;
    return is;
}

static bool
is_already(const struct run_as *id, char *err, size_t errlen)
{
    if (id->uid != getuid() || id->uid != geteuid())
        snprintf(err, errlen,
                 "user: only root can become another user, and this process runs as uid %ld, not "
                 "%ld: start it as root, or leave the key out (systemd has User=)",
                 (long)geteuid(), (long)id->uid);
    else if (!is_in_group(id->gid))
        snprintf(err, errlen,
                 "group: only root can take another group, and this process is not in %ld: start "
                 "it as root, or leave the key out (systemd has Group=)",
                 (long)id->gid);
    else
        return true;
    return false;
}

static bool
change(const struct run_as *id)
{
    int rc = id->name ? initgroups(id->name, id->gid) : setgroups(0, NULL);
    return rc == 0 && setresgid(id->gid, id->gid, id->gid) == 0 &&
           setresuid(id->uid, id->uid, id->uid) == 0;
}

static bool
has_changed(const struct run_as *id)
{
    uid_t u[3];
    gid_t g[3];
    if (getresuid(&u[0], &u[1], &u[2]) < 0 || getresgid(&g[0], &g[1], &g[2]) < 0)
        return false;
    for (int i = 0; i < 3; i++)
        if (u[i] != id->uid || g[i] != id->gid)
            return false;
    return setuid(0) < 0 && set_capabilities(false);
}

// Private keys are in this memory, and nobody may trace it or find it in a core file. (Of a process
// that changes its user the kernel thinks so, too, unless fs.suid_dumpable says otherwise.)
static void
hide_memory(void)
{
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

bool
privileges_drop(const struct run_as *id, char *err, size_t errlen)
{
    if (kept_error) // there was no log yet
        log_warn("capabilities that this process was given cannot be given up: %s",
                 strerror(kept_error));
    if (!id->given) {
        if (geteuid() == 0)
            log_warn("this process runs as root and needs none of that: user = NAME in [proxy], "
                     "or User= of systemd, would be right");
        return true;
    }
    if (geteuid() != 0) {
        hide_memory(); // also after an upgrade, whose process never was root
        return is_already(id, err, errlen);
    }
    if (id->uid == 0)
        return true;
    if (!change(id) || !has_changed(id)) {
        snprintf(err, errlen, "user: cannot become uid %ld, gid %ld: %s", (long)id->uid,
                 (long)id->gid, strerror(errno));
        return false;
    }
    hide_memory();
    given_up = true;
    log_info("root has been given up: user %s%suid %ld, gid %ld", id->name ? id->name : "",
             id->name ? ", " : "", (long)id->uid, (long)id->gid);
    return true;
}

const char *
privileges_hint(int error)
{
    return given_up && (error == EACCES || error == EPERM)
               ? " (needs a restart: root, which this may take, has been given up)"
               : "";
}
