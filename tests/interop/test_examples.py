# SPDX-License-Identifier: BSD-3-Clause
"""docs/examples/kubernetes: manifests that fit each other, the configuration they start with, and the seccomp profile,
under which the proxy really runs."""
import functools
import os
import stat
import subprocess

import pytest
import yaml

from nbdtest import paths, seccomp
from nbdtest.data import MIB, connected, file_bytes, pattern
from nbdtest.process import wait_until
from nbdtest.proxy import SANITIZER_ENV, run_proxy

FOLDER = os.path.join(paths.TREE, "docs", "examples", "kubernetes")
PROFILE = os.path.join(FOLDER, "seccomp.json")
IO_URING = ("io_uring_setup", "io_uring_enter", "io_uring_register")


@pytest.fixture(scope="module")
def objects():
    """{(kind, name): object} of all manifests."""
    found = {}
    for name in sorted(os.listdir(FOLDER)):
        if name.endswith(".yaml"):
            with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
                for one in yaml.safe_load_all(f):
                    assert {"apiVersion", "kind", "metadata"} <= one.keys(), name
                    key = one["kind"], one["metadata"]["name"]
                    assert key not in found, f"{key} twice"
                    found[key] = one
    return found


@pytest.fixture(scope="module")
def pod(objects):
    return objects["StatefulSet", "nbdzero"]["spec"]["template"]


def containers(pod):
    return pod["spec"]["initContainers"] + pod["spec"]["containers"]


def test_manifests_fit_each_other(objects, pod):
    labels = pod["metadata"]["labels"]
    spec = objects["StatefulSet", "nbdzero"]["spec"]
    assert spec["selector"]["matchLabels"] == labels
    assert objects["PodDisruptionBudget", "nbdzero"]["spec"]["selector"]["matchLabels"] == labels
    ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
    assert spec["serviceName"] in {name for kind, name in objects if kind == "Service"}
    for (kind, _), one in objects.items():
        if kind == "Service":
            assert one["spec"]["selector"] == labels
            assert all(port["targetPort"] in ports for port in one["spec"]["ports"])
    volumes = {v["name"] for v in pod["spec"]["volumes"] + [
        {"name": claim["metadata"]["name"]} for claim in spec["volumeClaimTemplates"]]}
    mounts = {m["name"] for c in containers(pod) for m in c["volumeMounts"]}
    assert mounts == volumes
    for volume in pod["spec"]["volumes"]:
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in objects
    # What is sent is finished before the kubelet kills.
    assert pod["spec"]["terminationGracePeriodSeconds"] > 30 + 10


def test_containers_are_confined(pod):
    general = pod["spec"]["securityContext"]
    assert general["runAsNonRoot"] and general["runAsUser"] > 0
    assert general["seccompProfile"]["type"] == "Localhost"
    for container in containers(pod):
        own = container["securityContext"]
        assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                       "capabilities": {"drop": ["ALL"]}}


@pytest.fixture
def tools(folder):
    """A PATH on which the programs under test are found by name."""
    path = os.path.join(folder, "bin")
    os.mkdir(path)
    for program in (paths.PROXY, paths.STAT):
        os.symlink(program, os.path.join(path, os.path.basename(program)))
    return dict(os.environ, PATH=f"{path}:{os.environ['PATH']}", **SANITIZER_ENV)


@pytest.mark.parametrize("index", [0, 1, 11])
def test_configuration_of_each_pod(objects, pod, folder, tools, index):
    """The very command of the init container, in a folder of ours; what comes out is valid."""
    (init,) = pod["spec"]["initContainers"]
    assert [e["name"] for e in init["env"]] == ["POD_INDEX"]
    os.mkdir(f"{folder}/in")
    os.mkdir(f"{folder}/out")
    with open(f"{folder}/in/nbdzero.conf", "w", encoding="utf-8") as f:
        f.write(objects["ConfigMap", "nbdzero"]["data"]["nbdzero.conf"])
    script = init["command"][-1].replace("/etc/nbdzero.in/", f"{folder}/in/").replace(
        "/etc/nbdzero/", f"{folder}/out/").replace("--check", f"--check -c {folder}/out/nbdzero.conf")
    done = subprocess.run([*init["command"][:-1], script], check=False, text=True, timeout=20,
                          capture_output=True, env=dict(tools, POD_INDEX=str(index)))
    assert done.returncode == 0, done
    checked = run_proxy("--check", "-c", f"{folder}/out/nbdzero.conf")
    assert checked.returncode == 0 and "warn" not in checked.stderr, checked
    with open(f"{folder}/out/nbdzero.conf", encoding="utf-8") as f:
        assert f"\nscratch = {index}G:1G\n" in f.read()


def test_port_of_the_configuration_is_that_of_the_pod(objects, pod):
    text = objects["ConfigMap", "nbdzero"]["data"]["nbdzero.conf"]
    for port in pod["spec"]["containers"][0]["ports"]:
        assert f":{port['containerPort']}\n" in text, port
    ports = {port["name"]: str(port["containerPort"]) for port in pod["spec"]["containers"][0]["ports"]}
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == ports["metrics"]
    mounted = {m["mountPath"] for m in pod["spec"]["containers"][0]["volumeMounts"]}
    for line in text.splitlines():
        if line.startswith(("control-socket", "state-dir")):
            path = line.split(" = ")[1]
            assert path in mounted or os.path.dirname(path) in mounted


def ask(container, kind, tools, proxy):
    probe = container[kind]
    return subprocess.run(probe["exec"]["command"], check=False, capture_output=True, text=True,
                          timeout=30, env=dict(tools, NBDZERO_CONTROL=proxy.control))


@pytest.mark.parametrize("kind", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_probes_of_the_kubelet(pod, tools, start_proxy, servers, kind):
    """An upstream that is away is no reason to restart a pod, nor to send it no clients: these would be who
    find out that it is back. A proxy that does not answer is."""
    (container,) = pod["spec"]["containers"]
    upstream = servers.nbdkit("memory", "1M")
    proxy = start_proxy(upstream.uri)
    assert ask(container, kind, tools, proxy).returncode == 0
    upstream.process.kill()
    with pytest.raises(Exception):
        with connected(proxy.uri()):
            pass
    assert proxy.stat("check", check=False).returncode == 2
    assert ask(container, kind, tools, proxy).returncode == 0
    proxy.stop()
    assert ask(container, kind, tools, proxy).returncode != 0


def confined(folder, processes, servers, without=()):
    """A proxy under the profile, started as a container runtime does it."""
    image = servers.file(8 * MIB)
    upstream = servers.nbdkit("file", image)
    config = os.path.join(folder, "confined.conf")
    with open(config, "w", encoding="utf-8") as f:
        f.write(f"[proxy]\ncontrol-socket = {folder}/control\nstate-dir = {folder}/state\nthreads = 2\n"
                f"[listen a]\naddress = unix:{folder}/listen\nupstream = u\n"
                f"[upstream u]\nuri = {upstream.uri}\n")
    # LeakSanitizer looks at its process as a debugger does, which the profile rightly forbids.
    env = {**SANITIZER_ENV, "ASAN_OPTIONS": "detect_leaks=0"}
    process = processes.start(["/usr/bin/python3", seccomp.__file__, PROFILE, ",".join(without),
                               paths.PROXY, "-c", config], env=env)
    return process, f"{folder}/listen", image


def test_under_the_seccomp_profile(folder, processes, servers):
    process, address, image = confined(folder, processes, servers)
    process.wait_ready(lambda: os.path.exists(address) and stat.S_ISSOCK(os.stat(address).st_mode))
    data = pattern(4 * MIB)
    with connected(f"nbd+unix:///?socket={address}") as h:
        h.pwrite(data, 0)
        h.flush()
        h.zero(MIB, MIB)
        assert bytes(h.pread(MIB, 0)) == data[:MIB]
    assert file_bytes(image, 0, 2 * MIB) == data[:MIB] + bytes(MIB)
    assert process.terminate() == 0, process.log()


@pytest.mark.parametrize("call", IO_URING)
def test_a_profile_without_io_uring_is_named(folder, processes, servers, call):
    """RuntimeDefault is such: the message says what to do."""
    process, _, _ = confined(folder, processes, servers, without=[call])
    wait_until(lambda: not process.running(), 20, "it ends")
    assert process.popen.returncode == 1
    assert "io_uring" in process.log()


@functools.lru_cache(maxsize=None)
def profile():
    return seccomp.Profile(PROFILE)


def test_profile_names_known_calls_and_none_that_is_dangerous():
    """Names of other architectures apart, which would begin with an underscore or end in their width."""
    assert not profile().unknown
    with open(PROFILE, encoding="utf-8") as f:
        text = f.read()
    for call in ("mount", "ptrace", "bpf", "setns", "unshare", "userfaultfd", "keyctl", "init_module",
                 "kexec_load", "open_by_handle_at", "process_vm_writev", "perf_event_open", "reboot"):
        assert f'"{call}"' not in text, call
