# SPDX-License-Identifier: BSD-3-Clause
"""What the commands of the control socket do: drain, log-level, verdict, and a reload's reply."""
import glob
import os
import resource
import signal

import pytest

from nbdtest import wire
from nbdtest.control import Control, ask, error, result
from nbdtest.data import MIB
from nbdtest.process import wait_until
from holding_upstreams import HoldsReads
from probed_upstreams import Slow
from test_control_rights import change_config

FAST = (wire.WRITE_ZEROES, 0, 16 * MIB, wire.FAST_ZERO)


# drain -------------------------------------------------------------------------------------


def test_drain_finishes_what_is_in_flight(stage):
    s = stage(HoldsReads, watch=False, drain_timeout="60s")
    c = s.client()
    c.start()
    cookie = c.request(wire.READ, 0, 512)
    wait_until(lambda: s.proxy.json()["connections"][0]["in_flight"] == 1, 10, "it is in flight")
    with Control(s.proxy.control) as control:
        assert control.ask("drain")["result"] == {"connections": 1, "drain_timeout_ms": 60000}
        assert "ending already" in control.ask("drain")["error"]
        assert "the process is ending" in control.ask("reload")["error"]
        assert "control socket, uid" in s.proxy.log()
        s.upstream.may.set()
        assert c.reply(512)[:2] == (cookie, 0)
        assert control.reply() is None
    assert s.proxy.process.popen.wait(20) == 0


# json --------------------------------------------------------------------------------------


def test_who_asks_without_end_gets_an_older_answer(stage):
    """Until a share of the time has been earned again. What is changed by order is seen at once all the same."""
    s = stage(watch=False)
    with Control(s.proxy.control) as control:
        assert control.ask("json")["age_ms"] == 0
        wait_until(lambda: any(control.ask("json")["age_ms"] for _ in range(500)), 90, "an old one")
        level = control.ask("json")["result"]["log"]["level"]
        assert control.ask("log-level", level="info")["result"]["log_level"] == "info"
        reply = control.ask("json")
        assert reply["age_ms"] == 0 and reply["result"]["log"]["level"] == "info" != level


# log-level ---------------------------------------------------------------------------------


def test_log_level_lasts_until_the_file_says_another(stage):
    s = stage(watch=False, log_level="info")
    path = s.proxy.control

    def level():
        return s.proxy.json()["log"]["level"]

    assert level() == "info"
    assert result(path, "log-level", level="debug") == {"log_level": "debug", "before": "info"}
    s.client().start()
    wait_until(lambda: s.proxy.lines("debug"), 10, "debug lines")
    result(path, "reload")
    assert level() == "debug"  # the file has not changed
    change_config(s.proxy, log_level="warn")
    assert "[proxy] log-level: info -> warn" in result(path, "reload")["changes"]
    assert level() == "warn"
    assert result(path, "log-level", level="error")["before"] == "warn"
    assert level() == "error"


# verdict -----------------------------------------------------------------------------------


def zero(c):
    """The answer to a fast zero of 16 MiB over a new connection."""
    c.start()
    answer = c.call(*FAST)
    c.disconnect()
    return answer


def pins(proxy):
    return {(e["upstream"], e["export"]): e["verdicts"][0]["verdict"] for e in proxy.json()["exports"]
            if e["verdicts"] and e["verdicts"][0]["source"] == "pinned"}


def test_pins_are_obeyed_and_taken_back(stage):
    s = stage(watch=False, overrides={"size": 16 * MIB})
    path = s.proxy.control
    pinned = result(path, "verdict", upstream="main", export="", verdict="slow")
    assert pinned == {"upstream": "main", "export": "", "verdict": "slow", "warnings": []}
    assert pins(s.proxy) == {("main", ""): "slow"}  # nobody has opened it yet
    assert zero(s.client()) == wire.ENOTSUP
    assert s.proxy.fast_zero("")["refused"] == 1
    result(path, "verdict", upstream="main", export="", verdict="fast")
    assert zero(s.client()) == 0
    [row] = [e for e in s.proxy.json()["exports"] if e["upstream"] == "main"]
    assert [v["verdict"] for v in row["verdicts"]] == ["fast", "fast"]
    assert {v["source"] for v in row["verdicts"]} == {"pinned"}
    result(path, "verdict", upstream="main", export="", verdict="auto")
    assert pins(s.proxy) == {}
    log = s.proxy.log()
    assert 'verdict export="" verdict="slow" upstream="main"' in log


def test_a_pin_outlives_processes(stage, start_proxy, raw):
    """A pin is in its file at once, and there is no need to open the export for it to stay or to go."""
    s = stage(watch=False, overrides={"size": 16 * MIB})
    proxy, state = s.proxy, s.proxy.state_dir

    def again():
        return start_proxy({"main": s.upstream.uri, "good": s.good.uri}, state_dir=state)

    result(proxy.control, "verdict", upstream="main", export="", verdict="slow")
    wait_until(lambda: glob.glob(os.path.join(state, "verdict-*.json")), 4, "it is saved at once")
    proxy.process.terminate(signal.SIGKILL)
    proxy = again()
    assert pins(proxy) == {("main", ""): "slow"}
    assert proxy.json()["state"]["restored"] == 1
    result(proxy.control, "verdict", upstream="main", export="", verdict="fast")
    proxy.stop()
    proxy = again()
    assert pins(proxy) == {("main", ""): "fast"}
    assert zero(raw(proxy.address, timeout=30)) == 0 and proxy.export("")["probes"]["run"] == 0
    result(proxy.control, "verdict", upstream="main", export="", verdict="auto")
    proxy.stop()
    assert not glob.glob(os.path.join(state, "verdict-*.json"))
    assert pins(again()) == {}


def test_what_a_name_means(stage, start_proxy, servers):
    one, two = servers.nbdkit("memory", "1M"), servers.nbdkit("memory", "1M")
    other = f"nbd+unix:///disk?socket={one.uri.split('=')[1]}"
    proxy = start_proxy({"a": one.uri, "b": two.uri, "c": other},
                        exports={"x": {"upstream": "a", "upstream-export": "deep"},
                                 "y": {"upstream": "a"}, "z y": {"upstream": "a", "name": "%C3%A9%2F"}})
    path = proxy.control
    assert result(path, "verdict", export="y", verdict="fast")["upstream"] == "a"
    assert result(path, "verdict", export="x", verdict="slow")["export"] == "deep"
    assert result(path, "verdict", export="deep", verdict="slow")["export"] == "deep"
    assert result(path, "verdict", export="é/", verdict="slow")["export"] == "\\xc3\\xa9/"
    assert result(path, "verdict", export="\\xc3\\xa9/", verdict="slow")["export"] == "\\xc3\\xa9/"
    assert result(path, "verdict", export="disk", verdict="slow")["upstream"] == "c"
    assert result(path, "verdict", export="", upstream="c", verdict="slow")["export"] == "disk"
    ambiguous = ask(path, "verdict", export="", verdict="fast")
    assert ambiguous["upstreams"] == ["a", "b", "c"]
    assert "name one of a, b, c" in ambiguous["error"]
    assert "no export \"nothing\"" in error(path, "verdict", export="nothing", verdict="fast")
    assert "upstream b has no export \"y\"" in error(path, "verdict", upstream="b", export="y", verdict="fast")
    assert "upstream d has no" in error(path, "verdict", upstream="d", export="y", verdict="fast")
    assert pins(proxy) == {("a", "y"): "fast", ("a", "deep"): "slow", ("a", "\\xc3\\xa9/"): "slow",
                           ("c", "disk"): "slow"}


def test_an_export_that_passes_through(stage):
    """One that no file names, but somebody has asked for."""
    s = stage(watch=False, overrides={"size": 16 * MIB})
    assert "no export \"seen\"" in error(s.proxy.control, "verdict", export="seen", verdict="fast")
    c = s.client()
    c.greet()
    c.go("seen")
    assert result(s.proxy.control, "verdict", export="seen", verdict="slow")["upstream"] == "main"
    assert c.call(*FAST) == wire.ENOTSUP  # of a connection that was there before


def test_forget(model, start_proxy, raw):
    """Measured slow, saved, restored, and forgotten before it is opened; a pin stays."""
    upstream = model(Slow)
    proxy = start_proxy(upstream.uri)
    # A busy machine may spoil one, which finds nothing then.
    found = any(zero(raw(proxy.address, timeout=30)) == wire.ENOTSUP and proxy.export()["probes"]["slow"]
                for _ in range(4))
    assert found, proxy.export()["probes"]
    proxy.stop()
    state = proxy.state_dir
    assert glob.glob(os.path.join(state, "verdict-*.json"))
    proxy = start_proxy(upstream.uri, state_dir=state)
    result(proxy.control, "verdict", export="", verdict="forget")
    proxy.stop()
    assert not glob.glob(os.path.join(state, "verdict-*.json"))
    proxy = start_proxy(upstream.uri, state_dir=state)
    assert zero(raw(proxy.address, timeout=30)) == wire.ENOTSUP and proxy.export()["probes"]["run"] == 1
    result(proxy.control, "verdict", export="", verdict="slow")
    result(proxy.control, "verdict", export="", verdict="forget")
    assert pins(proxy) == {("main", ""): "slow"}


def test_what_cannot_be_saved_is_said(stage, start_proxy):
    s = stage(watch=False)
    proxy = start_proxy(s.upstream.uri, state_dir="")
    warnings = result(proxy.control, "verdict", export="", verdict="slow")["warnings"]
    assert warnings == ["there is no state-dir: this lasts as long as the process"]
    assert proxy.json()["state"]["dir"] is None


# reload ------------------------------------------------------------------------------------


def test_reload_tells_of_lowered_connections(stage):
    s = stage(watch=False, files=300)
    change_config(s.proxy, max_connections="5000")
    warnings = result(s.proxy.control, "reload")["warnings"]
    assert any("max-connections lowered from 5000 to" in w for w in warnings), warnings
    assert s.proxy.json()["max_connections"] < 200


@pytest.mark.timing
def test_reload_without_memory_changes_nothing(stage):
    """The bystander is served all the time. Under a sanitizer a limit on the address space means nothing."""
    s = stage()
    pid = s.proxy.process.pid
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        size = next(int(line.split()[1]) << 10 for line in f if line.startswith("VmSize"))
    before = resource.prlimit(pid, resource.RLIMIT_AS, (size + (2 << 20), resource.RLIM_INFINITY))
    reply = ask(s.proxy.control, "reload")
    assert "reload refused: 1 fault" in reply["error"] and "out of memory" in reply["faults"][0], reply
    s.client().start()
    resource.prlimit(pid, resource.RLIMIT_AS, before)
    assert result(s.proxy.control, "reload")["changes"] == []
