# SPDX-License-Identifier: BSD-3-Clause
"""Who may ask at the control socket, and who may have something changed."""
import os
import re
import stat

import pytest

from nbdtest.control import Control, ask_as, result
from nbdtest.process import wait_until
from nbdtest.proxy import run_proxy

STRANGER, GROUP = 54321, 54322
CHANGES = {"reload": {}, "drain": {}, "upgrade": {}, "log-level": {"level": "error"},
           "verdict": {"export": "", "verdict": "fast"}}


def mode_and_group(path):
    st = os.stat(path)
    assert stat.S_ISSOCK(st.st_mode)
    return stat.S_IMODE(st.st_mode), st.st_gid


def change_config(proxy, **keys):
    """Keys of [proxy] are set anew; None takes one away."""
    with open(proxy.config, encoding="utf-8") as f:
        lines = f.read().splitlines()
    for key, value in keys.items():
        key = key.replace("_", "-")
        lines = [line for line in lines if not line.startswith(f"{key} =")]
        if value is not None:
            lines.insert(lines.index("[proxy]") + 1, f"{key} = {value}")
    with open(proxy.config, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")


def test_a_stranger_may_only_ask(stage):
    s = stage(control_socket_mode="0666")
    path = s.proxy.control
    assert "exports" in ask_as(STRANGER, path, "json")["result"]
    for n, (command, arguments) in enumerate(CHANGES.items(), 1):
        error = ask_as(STRANGER, path, command, **arguments)["error"]
        assert "permission denied" in error and f"uid {STRANGER}" in error and f'"{command}"' in error
        assert s.proxy.json()["control"]["denied"] == n
        assert re.search(rf"warn control: uid {STRANGER}, pid \d+ may not have it done: {command}", s.proxy.log())
    counts = s.proxy.json()["control"]
    assert counts["changes"] == 0
    assert result(path, "log-level", level="info")["before"] == "debug"  # nothing has changed it
    assert s.proxy.json()["control"]["changes"] == 1


def test_nobody_else_may_connect_by_default(stage):
    s = stage(watch=False)
    assert mode_and_group(s.proxy.control)[0] == 0o600
    assert ask_as(STRANGER, s.proxy.control, "json") == "refused"


def test_members_of_the_group(stage):
    s = stage(watch=False, control_socket_group=GROUP)
    path = s.proxy.control
    assert mode_and_group(path) == (0o660, GROUP)
    assert ask_as(STRANGER, path, "json") == "refused"
    assert ask_as(STRANGER, path, "json", groups=[GROUP])["result"]
    assert ask_as(STRANGER, path, "log-level", groups=[1, GROUP], level="info")["result"]["before"] == "debug"
    assert ask_as(GROUP, path, "log-level", level="warn")["result"]["before"] == "info"  # his first group
    many = list(range(100000, 100200)) + [GROUP]
    assert ask_as(STRANGER, path, "log-level", groups=many, level="info")["result"]["before"] == "warn"
    assert re.search(rf'info control: uid {STRANGER}, pid \d+: log-level level="info"', s.proxy.log())


def test_mode_without_the_right(stage):
    """Of the file's own group is not of the configured one."""
    s = stage(watch=False, control_socket_group=GROUP, control_socket_mode="0666")
    assert mode_and_group(s.proxy.control) == (0o666, GROUP)
    assert "permission denied" in ask_as(STRANGER, s.proxy.control, "reload")["error"]
    assert ask_as(STRANGER, s.proxy.control, "reload", groups=[GROUP])["result"]["changes"] == []


def test_reload_changes_mode_and_group(stage):
    if os.geteuid() != 0:
        pytest.skip("to give a file away needs root")
    s = stage(watch=False, max_connections=100)
    path = s.proxy.control
    inode = os.stat(path).st_ino
    change_config(s.proxy, control_socket_group=GROUP)
    assert "[proxy] control-socket-group: nothing -> 54322" in result(path, "reload")["changes"]
    assert mode_and_group(path) == (0o660, GROUP)
    assert ask_as(STRANGER, path, "reload", groups=[GROUP])["result"]
    change_config(s.proxy, control_socket_group=None, control_socket_mode="0666")
    assert result(path, "reload")["warnings"] == []
    assert mode_and_group(path)[0] == 0o666
    assert "permission denied" in ask_as(STRANGER, path, "reload", groups=[GROUP])["error"]
    assert os.stat(path).st_ino == inode


def test_reload_says_what_cannot_be_changed(stage):
    s = stage(watch=False, max_connections=100)
    with Control(s.proxy.control) as c:
        os.rename(s.proxy.control, s.proxy.control + ".away")
        change_config(s.proxy, control_socket_mode="0640")
        warnings = c.ask("reload")["result"]["warnings"]
        assert any("somebody has removed" in w for w in warnings), warnings
        assert len([line for line in s.proxy.lines("error") if "somebody has removed" in line]) == 1
        os.rename(s.proxy.control + ".away", s.proxy.control)
        assert c.ask("reload")["result"]["warnings"] == []
    assert mode_and_group(s.proxy.control)[0] == 0o640


@pytest.mark.parametrize("value", ["nosuchgroup", "-1", "4294967295", "99999999999999999999", "12x"])
def test_a_group_that_is_not_there(folder, value):
    path = os.path.join(folder, "a.conf")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"[proxy]\ncontrol-socket-group = {value}\n[listen a]\naddress = 127.0.0.1:1\nupstream = b\n"
                "[upstream b]\nuri = nbd://127.0.0.1:2\n")
    done = run_proxy("-c", path, "--check")
    assert done.returncode == 78
    assert f"{path}:2: control-socket-group = {value}: there is no such group" in done.stderr


def test_a_crowd_of_strangers_keeps_nobody_away(stage):
    """They may have half of the conversations, and keep them for 5 seconds."""
    s = stage(watch=False, control_socket_mode="0666", log_level="info")
    if os.geteuid() != 0:
        pytest.skip("to be another user needs root")
    os.chmod(os.path.dirname(s.proxy.control), 0o711)
    crowd = []
    try:
        os.seteuid(STRANGER)
        try:
            crowd = [Control(s.proxy.control) for _ in range(30)]
        finally:
            os.seteuid(0)
        refusal = crowd[-1].reply()
        assert refusal == {"error": "too many control connections"}, refusal
        wait_until(lambda: s.proxy.json()["control"]["refused"] >= 22, 5, "22 of 30 are turned away")
        assert s.proxy.json()["control"]["conversations"] == 9  # with the one that asks
        assert result(s.proxy.control, "reload")["changes"] == []
    finally:
        for c in crowd:
            c.close()
