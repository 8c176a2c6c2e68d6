# SPDX-License-Identifier: BSD-3-Clause
"""Clients from addresses that are not allowed, and too many of one address."""
import ipaddress
import random
import socket

import pytest

from nbdtest.process import free_port, wait_until
from nbdtest.proxy import run_proxy, section, wait_idle
from nbdtest.rawclient import RawClient
from nbdtest.rawserver import ModelUpstream


def connect(address, source=None):
    """A socket; source: the address that it comes from."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(20)
    if source:
        s.bind((source, 0))
    s.connect(address)
    return s


def greeted(sock):
    """Whether anything is said: all of the greeting, or nothing at all."""
    try:
        data = sock.recv(18)
    except ConnectionResetError:
        data = b""
    assert len(data) in (0, 18), data
    return bool(data)


def let_in(address, source=None):
    with connect(address, source) as s:
        return greeted(s)


def row(proxy, name="main"):
    return next(r for r in proxy.json()["listeners"] if r["name"] == name)


def edit(proxy, old, new):
    with open(proxy.config, encoding="utf-8") as f:
        text = f.read()
    assert text.count(old) == 1
    with open(proxy.config, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))


@pytest.fixture
def tcp_proxy(model, start_proxy):
    """tcp_proxy(host, {key: value} of [listen], **keys)"""
    def start(host, listen, **keys):
        return start_proxy({"main": (model(ModelUpstream).uri, {}, listen)}, tcp=host, threads=1, **keys)
    return start


@pytest.mark.smoke
def test_outside(tcp_proxy):
    proxy = tcp_proxy("127.0.0.1", {"allow": "127.0.0.2 127.3.0.0/16"})
    assert let_in(proxy.address, "127.0.0.2")
    assert let_in(proxy.address, "127.3.255.255")
    for source in "127.0.0.1", "127.0.0.3", "127.2.255.255":
        assert not let_in(proxy.address, source)
    wait_idle(proxy)
    listener = row(proxy)
    assert listener["accepted"] == 2 and listener["refused"] == 3
    assert listener["refused_for"] == {"allow": 3, "max_connections": 0,
                                       "max_connections_per_client": 0, "memory": 0}
    # One line for all three, since they came within ten seconds.
    assert [line for line in proxy.lines("warn") if "not in allow" in line][0].endswith(
        "[listen main]: 127.0.0.1 is not in allow: refused 1")


def test_version_4_at_a_socket_for_both(tcp_proxy):
    """Its clients come as ::ffff:127.0.0.1, and are who they are."""
    proxy = tcp_proxy("::", {"allow": "127.0.0.0/8"})
    port = proxy.address[1]
    assert let_in(("127.0.0.1", port))
    assert not let_in(("::1", port))
    edit(proxy, "allow = 127.0.0.0/8", "allow = ::/0")
    assert "[listen main] allow: 127.0.0.0/8 -> ::/0" in proxy.stat("reload").stdout
    assert not let_in(("127.0.0.1", port))
    assert let_in(("::1", port))


def test_reload_keeps_who_is_there(tcp_proxy):
    proxy = tcp_proxy("127.0.0.1", {"allow": "127.0.0.1"})
    running = RawClient(proxy.address)
    running.start()
    edit(proxy, "allow = 127.0.0.1", "allow = 127.9.9.9")
    proxy.stat("reload")
    assert not let_in(proxy.address)
    assert let_in(proxy.address, "127.9.9.9")
    assert running.write(0, b"k" * 512) == 0
    running.close()


def test_same_answers_as_python(model, start_proxy):
    """Random networks and addresses of 127.0.0.0/8, each asked of the ipaddress module, too."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    networks = {}
    for i in range(24):
        nets = [ipaddress.ip_network((0x7f000000 | dice.getrandbits(24), dice.randint(6, 32)), strict=False)
                for _ in range(dice.randint(1, 3))]
        networks[f"l{i}"] = [n if n.subnet_of(ipaddress.ip_network("127.0.0.0/8")) else
                             ipaddress.ip_network("127.0.0.0/8") for n in nets]
    ports = {name: free_port("127.0.0.1") for name in networks}
    extra = "\n".join(section(f"listen {name}", {
        "address": f"127.0.0.1:{ports[name]}", "upstream": "main",
        "allow": " ".join(map(str, nets))}) for name, nets in networks.items())
    start_proxy(model(ModelUpstream).uri, threads=1, extra=extra)
    for name, nets in networks.items():
        for net in nets:
            edges = [net.network_address - 1, net.network_address, net.broadcast_address,
                     net.broadcast_address + 1, ipaddress.ip_address(0x7f000001 | dice.getrandbits(24))]
            for source in edges:
                if not 0x7f000001 <= int(source) < 0x7fffffff:
                    continue
                expected = any(source in n for n in nets)
                assert let_in(("127.0.0.1", ports[name]), str(source)) == expected, (source, nets)


def random_network(dice):
    v6 = dice.random() < 0.5
    bits = dice.randint(0, 128 if v6 else 32)
    address = dice.getrandbits(128 if v6 else 32)
    if dice.random() < 0.5:  # mostly zeroes behind the mask
        width = 128 if v6 else 32
        address = address >> (width - bits) << (width - bits)
    kind = ipaddress.IPv6Address if v6 else ipaddress.IPv4Address
    text = str(kind(address))
    if v6 and dice.random() < 0.3:
        text = kind(address).exploded.upper()
    if dice.random() < 0.1:
        bits += dice.choice((1, 90, 1000))
    if dice.random() < 0.1:
        at = dice.randrange(len(text))
        text = text[:at] + dice.choice(":.x9") + text[at + 1:]
    return f"{text}/{bits}"


def test_same_faults_as_python(folder):
    """What ip_network() takes is right, what it does not is a fault; for bits behind the mask with the network
    that Python names, too."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    texts = [random_network(dice) for _ in range(800)]
    head = ["[upstream main]", "uri = nbd://127.0.0.1:1"]
    lines = list(head)
    where = {}
    for i, text in enumerate(texts):
        lines += [f"[listen l{i}]", f"address = 127.0.0.1:{i + 1}", "upstream = main", f"allow = {text}"]
        where[len(lines)] = text
    path = f"{folder}/allow.conf"
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")
    done = run_proxy("-c", path, "--check", timeout=120)
    faults = {int(line.split(":")[1]): line for line in done.stderr.splitlines()}
    for line, text in where.items():
        try:
            ipaddress.ip_network(text)
            assert line not in faults, faults[line]
        except ValueError:
            assert line in faults, text
            assert "allow: " in faults[line]
            try:
                right = ipaddress.ip_network(text, strict=False)
            except ValueError:
                continue
            if right.prefixlen < right.max_prefixlen:
                assert f" {right} is that network" in faults[line], (text, faults[line])


# Connections of one client -------------------------------------------------------------------


def test_too_many_of_one_address(tcp_proxy):
    proxy = tcp_proxy("127.0.0.1", {}, max_connections_per_client=2)
    mine = [connect(proxy.address, "127.0.0.2") for _ in range(2)]
    assert all(greeted(s) for s in mine)
    assert not let_in(proxy.address, "127.0.0.2")
    assert let_in(proxy.address, "127.0.0.3")
    mine.pop().close()
    wait_until(lambda: let_in(proxy.address, "127.0.0.2"), 10, "room for one")
    wait_idle(proxy, 1)
    listener = row(proxy)
    assert listener["refused_for"]["max_connections_per_client"] == listener["refused"] >= 1
    assert any(line.endswith("max-connections-per-client (2) reached by 127.0.0.2: refused 1")
               for line in proxy.lines("warn"))
    # Connections count that came before there was another limit.
    edit(proxy, "max-connections-per-client = 2", "max-connections-per-client = 1")
    proxy.stat("reload")
    assert not let_in(proxy.address, "127.0.0.2")
    edit(proxy, "max-connections-per-client = 1", "max-connections-per-client = 0")
    proxy.stat("reload")
    mine += [connect(proxy.address, "127.0.0.2") for _ in range(9)]
    assert all(greeted(s) for s in mine[1:])
    edit(proxy, "max-connections-per-client = 0", "max-connections-per-client = 10")
    proxy.stat("reload")
    assert not let_in(proxy.address, "127.0.0.2")
    for s in mine:
        s.close()


def test_over_all_listeners(model, start_proxy):
    uri = model(ModelUpstream).uri
    proxy = start_proxy({"a": uri, "b": uri}, tcp="127.0.0.1", threads=1, max_connections_per_client=1)
    with connect(proxy.listens["a"].address) as s:
        assert greeted(s)
        assert not let_in(proxy.listens["b"].address)
        assert let_in(proxy.listens["b"].address, "127.0.0.2")


def test_unix_clients_have_no_address(start_proxy, model):
    proxy = start_proxy(model(ModelUpstream).uri, threads=1, max_connections_per_client=1)
    clients = [RawClient(proxy.address) for _ in range(3)]
    for c in clients:
        c.start()
    for c in clients:
        c.disconnect()


def test_storm_of_one_address(tcp_proxy, bystander):
    """Who is refused again and again costs the others nothing, and the log one line."""
    proxy = tcp_proxy("127.0.0.1", {}, max_connections_per_client=3)
    bystander(proxy.address)
    held = [connect(proxy.address, "127.0.0.2") for _ in range(3)]
    assert all(greeted(s) for s in held)
    for _ in range(300):
        assert not let_in(proxy.address, "127.0.0.2")
    lines = [line for line in proxy.lines("warn") if "max-connections-per-client" in line]
    assert 1 <= len(lines) <= 6, lines
    assert row(proxy)["refused"] >= 300
    for s in held:
        s.close()
