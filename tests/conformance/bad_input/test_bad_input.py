"""Hostile and broken requests: a 4xx soon, never a 500, never a hang, no growth."""

import json
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.differential.exchange import Answer, parse, send
from support.engine import EngineUnderTest
from support.waiting import require_within

SOON_S = 2.0
CREATE = "POST /v1.51/containers/create?name=bad HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
JSON = "Content-Type: application/json\r\n"


def create(engine: EngineUnderTest, body: bytes) -> Answer:
    head = f"{CREATE}{JSON}Content-Length: {len(body)}\r\n\r\n"
    return parse(send(engine.socket, head, body), "POST")


def wish(**fields: object) -> bytes:
    return json.dumps({"Image": "busybox", **fields}).encode()


def host(**fields: object) -> bytes:
    return wish(HostConfig=fields)


BODIES = {
    "no JSON": b"{",
    "trailing garbage": b'{"Image":"busybox"} {}',
    "a list": b"[]",
    "a wrong type": b'{"Image":["busybox"]}',
    "a fraction for an integer": b'{"Image":"busybox","HostConfig":{"Memory":1.5}}',
    "an integer of 5000 digits": b'{"HostConfig":{"Memory":' + b"9" * 5000 + b"}}",
    "an integer beyond 64 bits": b'{"HostConfig":{"Memory":9223372036854775808}}',
    "a key twice": b'{"Image":"busybox","Image":"other"}',
    "a key twice in two cases": b'{"Image":"busybox","image":"other"}',
    "NaN": b'{"Image":"busybox","HostConfig":{"Memory":NaN}}',
    "Infinity": b'{"Image":"busybox","HostConfig":{"Memory":-Infinity}}',
    "1e999": b'{"Image":"busybox","HostConfig":{"Memory":1e999}}',
    "a lone surrogate": b'{"Image":"busybox","Hostname":"\\ud800"}',
    "no UTF-8": b'{"Image":"busy\xff\xfebox"}',
    "nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "nested objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "a NUL in the command": wish(Cmd=["a\0b"]),
    "a NUL in the image": wish(Image="busy\0box"),
    "a newline in the host name": wish(Hostname="a\nb"),
    "a newline in the domain name": wish(Domainname="a\nb"),
    "a newline in the user": wish(User="root\nx"),
    "a user beyond 2**32": wish(User="4294967296"),
    "a negative user": wish(User="-1"),
    "a newline in an environment name": wish(Env=["A\nB=1"]),
    "an environment without name": wish(Env=["=1"]),
    "a newline in --add-host": host(ExtraHosts=["a\nb:1.2.3.4"]),
    "a newline in the address of --add-host": host(ExtraHosts=["a:1.2.3.4\n5.6.7.8 b"]),
    "a newline in a DNS search domain": host(DnsSearch=["a\nnameserver 6.6.6.6"]),
    "a newline in a DNS option": host(DnsOptions=["a\nnameserver 6.6.6.6"]),
    "a sysctl of the machine": host(Sysctls={"kernel.core_pattern": "|/x"}),
    "a sysctl that climbs": host(Sysctls={"net.ipv4/../../kernel/core_pattern": "x"}),
    "a sysctl with a slash": host(Sysctls={"net/../kernel.core_pattern": "x"}),
    "a MAC address that is none": wish(MacAddress="nonsense"),
    "an address that is none": wish(
        NetworkingConfig={"EndpointsConfig": {"bridge": {"IPAMConfig": {"IPv4Address": "x"}}}}
    ),
    "a bind that is relative": host(Binds=["../x:/y"]),
    "a device that is none": host(Devices=[{"PathOnHost": "/etc/passwd", "PathInContainer": "/x",
                                            "CgroupPermissions": "rwm"}]),
    "a cgroup parent that climbs": host(CgroupParent="../../x"),
    "a name of a container with dots": host(NetworkMode="container:../../x"),
    "a volume's name that climbs": host(Binds=["../../etc:/x"]),
    "a log option with a newline": host(LogConfig={"Config": {"max\nsize": "1"}}),
}  # fmt: skip


@pytest.mark.parametrize("body", [pytest.param(v, id=k) for k, v in BODIES.items()])
def test_a_bad_body_is_refused_by_a_sentence(engine: EngineUnderTest, body: bytes) -> None:
    began = time.monotonic()
    answer = create(engine, body)
    if answer.status == 201:  # what only the host can tell is told at start
        start = "POST /containers/bad/start HTTP/1.1\r\nHost: d\r\nConnection: close\r\n"
        answer = parse(send(engine.socket, start + "Content-Length: 0\r\n\r\n"), "POST")
    require_within(SOON_S, began)
    assert 400 <= answer.status < 500, answer
    assert answer.body["message"]


HEADS = {
    "length and chunks": (  # taken by its chunks, it would make a container
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
        f"{len(wish()):x}\r\n{wish().decode()}\r\n0\r\n\r\n"
    ),
    "two lengths": "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a negative length": "Content-Length: -1\r\n\r\n",
    "a length in hexadecimal": "Content-Length: 0x2\r\n\r\n{}",
    "a folded field": "X-A: b\r\n c\r\n\r\n",
    "a space before the colon": "Content-Length : 2\r\n\r\n{}",
    "a NUL in a field": "X-A: a\0b\r\n\r\n",
    "a bare line feed": "X-A: b\nX-B: c\r\n\r\n",
    "a field of 100 KiB": f"X-A: {'a' * 102400}\r\n\r\n",
    "two hundred fields": "".join(f"X-{n}: 1\r\n" for n in range(200)) + "\r\n",
    "an unknown coding": "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a chunk that is no number": "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("rest", [pytest.param(v, id=k) for k, v in HEADS.items()])
def test_a_bad_head_is_refused_by_a_sentence(engine: EngineUnderTest, rest: str) -> None:
    began = time.monotonic()
    answer = parse(send(engine.socket, CREATE + JSON + rest), "POST")
    require_within(SOON_S, began)
    # RFC 9112, 6.1: a transfer coding that is not understood "SHOULD" be answered with 501.
    assert 400 <= answer.status < 500 or answer.status == 501, answer
    assert answer.body["message"]


@pytest.mark.parametrize(
    "target",
    [
        "/containers/a%2Fb/json",
        "/containers/..%2F..%2Fetc/json",
        "/containers/%00/json",
        "/containers/%zz/json",
        "/containers/%ff/json",
        "/exec/a%2Fb/json",
        "/volumes/..%2F..",
        "/networks/a%2Fb",
        "/images/..%2F..%2Fetc/json",
        "/images/%0a/json",
        "/containers/json?limit=99999999999999999999",
        "/containers/json?filters=%ff",
        "/v1.51/../info",
        "/" + "a" * 20_000,
    ],
)
def test_a_bad_path_is_refused_by_a_sentence(engine: EngineUnderTest, target: str) -> None:
    head = f"GET {target} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
    assert 400 <= parse(send(engine.socket, head), "GET").status < 500


@pytest.mark.parametrize("name", ["a MAC address that is none", "an address that is none"])
def test_endpoints_are_checked_at_create(engine: EngineUnderTest, name: str) -> None:
    answer = create(engine, BODIES[name])
    assert (answer.status, "invalid" in answer.body["message"]) == (400, True)


@pytest.mark.parametrize(
    "path",
    [
        "/containers/box/update",
        "/containers/box/exec",
        "/exec/none/start",
        "/commit?container=box",
        "/networks/create",
        "/networks/bridge/connect",
        "/volumes/create",
        "/auth",
    ],
)
def test_every_document_is_read_as_strictly(engine: EngineUnderTest, path: str) -> None:
    assert create(engine, wish()).status == 201
    path = path.replace("box", "bad")
    for body in (b"{", b"[]", b'{"a":1,"a":2}', b'{"a":NaN}', b'{"a":"\\ud800"}', b"[" * 99_999):
        head = f"POST {path} HTTP/1.1\r\nHost: d\r\nConnection: close\r\n{JSON}"
        answer = parse(
            send(engine.socket, f"{head}Content-Length: {len(body)}\r\n\r\n", body), "POST"
        )
        assert answer.status == 400, (path, body[:20], answer)
        assert answer.body["message"]


def test_a_document_of_4_mib_is_taken_and_no_byte_more(engine: EngineUnderTest) -> None:
    largest = wish().ljust(4 << 20)
    assert create(engine, largest).status == 201
    assert create(engine, largest + b" ").status == 413
    chunks = b"".join(b"%x\r\n%b\r\n" % (1 << 20, b" " * (1 << 20)) for _ in range(5))
    head = f"{CREATE}{JSON}Transfer-Encoding: chunked\r\n\r\n"
    assert parse(send(engine.socket, head, chunks + b"0\r\n\r\n"), "POST").status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("PUT", "/containers/bad/archive?path=/tmp", 200), ("POST", "/build", 400)],
)
def test_tars_stream_without_growth(
    engine: EngineUnderTest, method: str, path: str, status: int
) -> None:
    assert create(engine, wish()).status == 201
    size, piece = 128 << 20, b"x" * (1 << 20)

    def tar() -> Iterator[bytes]:
        member = tarfile.TarInfo("large")
        member.size = size
        yield member.tobuf()
        for _ in range(size // len(piece)):
            yield piece
        yield b"\0" * 1024

    before = _resident_kib(engine)
    headers = {"Content-Type": "application/x-tar"}
    answer = engine.client.send(method, path, body=tar(), headers=headers)
    assert answer.status == status, answer.read()
    answer.close()
    assert _peak_kib(engine) - before < 32 * 1024


def test_a_string_of_20_mb_is_refused_and_the_engine_does_not_grow(
    engine: EngineUnderTest,
) -> None:
    body = b'{"Image":"' + b"a" * 20_000_000 + b'"}'
    before = _resident_kib(engine)
    for _ in range(5):
        began = time.monotonic()
        answer = create(engine, body)
        assert answer.status == 413, answer
        require_within(SOON_S, began)
    assert _resident_kib(engine) - before < 16 * 1024


def test_deep_and_long_documents_do_not_make_the_engine_grow(engine: EngineUnderTest) -> None:
    longest = b'{"Image":"busybox","Cmd":[' + b",".join([b'"a"'] * 900_000) + b"]}"
    create(engine, longest)
    before = _resident_kib(engine)
    for _ in range(5):
        create(engine, longest)
        create(engine, b"[" * 4_000_000)
        engine.remove_containers()
    assert _resident_kib(engine) - before < 64 * 1024


def test_slow_heads_are_ended_and_disturb_nobody(engine: EngineUnderTest) -> None:
    ended: list[float] = []

    def drip() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(engine.socket)
            connection.settimeout(0.2)
            began = time.monotonic()
            connection.sendall(b"GET /_ping HTTP/1.1\r\n")
            while time.monotonic() - began < 20:
                try:
                    connection.sendall(b"X")
                    if not connection.recv(4096):
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            ended.append(time.monotonic() - began)

    clients = [threading.Thread(target=drip) for _ in range(50)]
    for client in clients:
        client.start()
    for _ in range(20):
        began = time.monotonic()
        assert engine.answers()
        require_within(1, began)
    for client in clients:
        client.join()
    assert len(ended) == 50
    assert max(ended) < 13


def test_what_newer_clients_send_is_ignored_and_go_s_leniency_kept(
    engine: EngineUnderTest,
) -> None:
    body = {"image": "busybox", "CMD": "true", "FromTheFuture": {"a": [1]}, "HostConfig": None}
    assert create(engine, json.dumps(body).encode()).status == 201


def _resident_kib(engine: EngineUnderTest) -> int:
    """Return what the engine has in memory; from now on the peak is counted anew."""
    assert engine.process is not None
    Path(f"/proc/{engine.process.pid}/clear_refs").write_text("5")
    return _status_kib(engine, "VmRSS:")


def _peak_kib(engine: EngineUnderTest) -> int:
    return _status_kib(engine, "VmHWM:")


def _status_kib(engine: EngineUnderTest, field: str) -> int:
    assert engine.process is not None
    status = Path(f"/proc/{engine.process.pid}/status").read_text()
    return int(status.partition(field)[2].split()[0])
