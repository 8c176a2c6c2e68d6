// SPDX-License-Identifier: BSD-3-Clause
// One filter for each directive, as systemd does: the kernel takes the strictest answer of all.
#include "unit_filter.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>

// Above those that there are (AF_MAX of this kernel, and some).
#define AF_MAX_TESTED 63

// A filter that says no to what its rules name. `rc` of the rules is summed up.
static bool
finish(scmp_filter_ctx c, const char *what, int rc)
{
    if (rc == 0)
        rc = seccomp_load(c);
    if (rc != 0)
        fprintf(stderr, "under-unit: %s: %s\n", what, strerror(-rc));
    seccomp_release(c);
    return rc == 0;
}

static bool
install_calls(const struct unit *u)
{
    int rc = 0;
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO((unsigned)(u->error ? u->error : EPERM)));
    if (!c)
        return false;
    for (size_t i = 0; rc == 0 && i < u->calls.n; i++) {
        int number = seccomp_syscall_resolve_name(u->calls.names[i]);
        if (number >= 0) // else not of this architecture
            rc = seccomp_rule_add(c, SCMP_ACT_ALLOW, number, 0);
    }
    return finish(c, "SystemCallFilter", rc);
}

static int
deny(scmp_filter_ctx c, int error, int call, unsigned n, const struct scmp_arg_cmp *args)
{
    return seccomp_rule_add_array(c, SCMP_ACT_ERRNO((unsigned)error), call, n, args);
}

// Between and around the allowed ones: a rule can say "greater", and both ends of a range.
static bool
install_families(const struct unit *u)
{
    int rc = 0;
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    if (!c)
        return false;
    for (int family = 0; rc == 0 && family <= AF_MAX_TESTED; family++) {
        bool allowed = false;
        for (unsigned i = 0; i < u->n_families; i++)
            allowed = allowed || u->families[i] == family;
        if (!allowed)
            rc = deny(c, EAFNOSUPPORT, SCMP_SYS(socket), 1,
                      &SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family));
    }
    if (rc == 0)
        rc = deny(c, EAFNOSUPPORT, SCMP_SYS(socket), 1, &SCMP_A0(SCMP_CMP_GT, AF_MAX_TESTED));
    return finish(c, "RestrictAddressFamilies", rc);
}

static bool
install_namespaces(void)
{
    static const unsigned flags[] = {CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,   CLONE_NEWUSER,
                                     CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP};
    int rc = 0;
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    if (!c)
        return false;
    for (size_t i = 0; rc == 0 && i < sizeof flags / sizeof flags[0]; i++) {
        struct scmp_arg_cmp first = SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]);
        rc = deny(c, EPERM, SCMP_SYS(unshare), 1, &first);
        if (rc == 0)
            rc = deny(c, EPERM, SCMP_SYS(clone), 1, &first);
    }
    if (rc == 0)
        rc = deny(c, EPERM, SCMP_SYS(setns), 0, NULL);
    if (rc == 0) // its flags are in memory, where no filter sees them
        rc = deny(c, ENOSYS, SCMP_SYS(clone3), 0, NULL);
    return finish(c, "RestrictNamespaces", rc);
}

static bool
install_write_execute(void)
{
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    if (!c)
        return false;
    struct scmp_arg_cmp both =
        SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC | PROT_WRITE);
    struct scmp_arg_cmp execute = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC);
    int rc = deny(c, EPERM, SCMP_SYS(mmap), 1, &both);
    if (rc == 0)
        rc = deny(c, EPERM, SCMP_SYS(mprotect), 1, &execute);
    if (rc == 0)
        rc = deny(c, EPERM, SCMP_SYS(pkey_mprotect), 1, &execute);
    return finish(c, "MemoryDenyWriteExecute", rc);
}

static bool
install_realtime(void)
{
    static const int policies[] = {SCHED_FIFO, SCHED_RR, 6 /* SCHED_DEADLINE */};
    int rc = 0;
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    if (!c)
        return false;
    for (size_t i = 0; rc == 0 && i < sizeof policies / sizeof policies[0]; i++)
        rc = deny(c, EPERM, SCMP_SYS(sched_setscheduler), 1,
                  &SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)policies[i]));
    return finish(c, "RestrictRealtime", rc);
}

static bool
install_suid(void)
{
    static const mode_t bits[] = {S_ISUID, S_ISGID};
    int rc = 0;
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    if (!c)
        return false;
    for (size_t i = 0; rc == 0 && i < 2; i++) {
        struct scmp_arg_cmp second = SCMP_A1(SCMP_CMP_MASKED_EQ, bits[i], bits[i]);
        struct scmp_arg_cmp third = SCMP_A2(SCMP_CMP_MASKED_EQ, bits[i], bits[i]);
        rc = deny(c, EPERM, SCMP_SYS(chmod), 1, &second);
        if (rc == 0)
            rc = deny(c, EPERM, SCMP_SYS(fchmod), 1, &second);
        if (rc == 0)
            rc = deny(c, EPERM, SCMP_SYS(fchmodat), 1, &third);
        if (rc == 0)
            rc = deny(c, EPERM, SCMP_SYS(mkdir), 1, &second);
        if (rc == 0)
            rc = deny(c, EPERM, SCMP_SYS(mkdirat), 1, &third);
    }
    return finish(c, "RestrictSUIDSGID", rc);
}

static bool
install_personality(void)
{
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    if (!c)
        return false;
    int rc = deny(c, EPERM, SCMP_SYS(personality), 1, &SCMP_A0(SCMP_CMP_NE, PER_LINUX));
    return finish(c, "LockPersonality", rc);
}

// That of the calls comes last: it may forbid the loading of others. libseccomp's filters answer
// calls of another architecture by ending the process, which is stricter than `native_only` asks.
bool
unit_install(const struct unit *u)
{
    return (!u->n_families || install_families(u)) && (!u->no_namespaces || install_namespaces()) &&
           (!u->no_write_execute || install_write_execute()) &&
           (!u->no_realtime || install_realtime()) && (!u->no_suid || install_suid()) &&
           (!u->lock_personality || install_personality()) && install_calls(u);
}
