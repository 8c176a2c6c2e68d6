# SPDX-License-Identifier: BSD-3-Clause
"""Seccomp profiles as container runtimes read them (OCI's JSON), put over a child with libseccomp."""
import ctypes
import ctypes.util
import errno
import json

ACTIONS = {"SCMP_ACT_ALLOW": 0x7FFF0000, "SCMP_ACT_ERRNO": 0x00050000}
COMPARISONS = {"SCMP_CMP_MASKED_EQ": 7}
PR_SET_NO_NEW_PRIVS = 38


class Comparison(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("datum_a", ctypes.c_uint64),
                ("datum_b", ctypes.c_uint64)]


def library():
    path = ctypes.util.find_library("seccomp")
    assert path, "libseccomp is not installed: tools/deps installs it"
    lib = ctypes.CDLL(path, use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    lib.seccomp_init.argtypes = [ctypes.c_uint32]
    lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
                                           ctypes.POINTER(Comparison)]
    lib.seccomp_load.argtypes = lib.seccomp_release.argtypes = [ctypes.c_void_p]
    return lib


def action(rule, code_key):
    code = rule.get(code_key, errno.EPERM) if rule["action"] == "SCMP_ACT_ERRNO" else 0
    return ACTIONS[rule["action"]] | code


class Profile:
    """A profile that was read; unknown names are those of other architectures, as for container runtimes."""

    def __init__(self, path, without=()):
        with open(path, encoding="utf-8") as f:
            text = json.load(f)
        self.lib = library()
        self.default = action({"action": text["defaultAction"], **text}, "defaultErrnoRet")
        self.rules, self.unknown = [], []
        for rule in text["syscalls"]:
            arguments = [Comparison(a["index"], COMPARISONS[a["op"]], a["value"], a["valueTwo"])
                         for a in rule.get("args", [])]
            for name in set(rule["names"]) - set(without):
                number = self.lib.seccomp_syscall_resolve_name(name.encode())
                if number == -1:
                    self.unknown.append(name)
                else:
                    self.rules.append((action(rule, "errnoRet"), number, arguments))

    def enter(self):
        """For this process and its children, for ever."""
        assert ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        context = self.lib.seccomp_init(self.default)
        assert context
        for what, number, arguments in self.rules:
            array = (Comparison * max(len(arguments), 1))(*arguments)
            rc = self.lib.seccomp_rule_add_array(context, what, number, len(arguments), array)
            assert rc == 0, f"system call {number}: {errno.errorcode.get(-rc, rc)}"
        rc = self.lib.seccomp_load(context)
        assert rc == 0, errno.errorcode.get(-rc, rc)
        self.lib.seccomp_release(context)


if __name__ == "__main__":  # seccomp.py PROFILE WITHOUT[,WITHOUT...] PROGRAM [ARGUMENTS]
    import os
    import sys
    Profile(sys.argv[1], sys.argv[2].split(",")).enter()
    os.execvp(sys.argv[3], sys.argv[3:])
