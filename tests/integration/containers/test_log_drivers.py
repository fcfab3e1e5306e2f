"""syslog and journald against receivers of the test's own; the other drivers by what they keep."""

import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutaway.client import ApiError
from support.engine import EngineUnderTest
from support.netns import inside
from support.waiting import eventually

SCRIPT = "echo out; echo err >&2; printf 'no end'"


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    """A datagram socket in a directory that the engine sees."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "socket"))
        made.settimeout(10)
        yield made


def run(engine: EngineUnderTest, driver: str, *words: str, script: str = SCRIPT) -> str:
    command = ("run", "-d", "--name", "box", "--log-driver", driver, *words, "busybox")
    identifier = engine.docker(*command, "sh", "-c", script).stdout.strip()
    eventually(lambda: engine.docker("ps", "-q").stdout == "")
    return identifier


STAMP = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"
RFC_3339 = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
FORMS = {
    "": rf"{STAMP} (\w+)\[\d+\]: (.*)",
    "rfc3164": rf"{STAMP} HOST (\w+)\[\d+\]: (.*)",
    "rfc5424": rf"1 {RFC_3339}\S+ HOST (\w+) \d+ \2 - (.*)",
    "rfc5424micro": rf"1 {RFC_3339}\.\d{{6}}\S+ HOST (\w+) \d+ \2 - (.*)",
}


@pytest.mark.parametrize("form", FORMS)
def test_syslog_in_each_format(engine: EngineUnderTest, receiver: socket.socket, form: str) -> None:
    address = f"syslog-address=unixgram://{receiver.getsockname()}"
    words = ["--log-opt", address, *(["--log-opt", f"syslog-format={form}"] if form else [])]
    identifier = run(engine, "syslog", *words)
    pattern = re.compile(r"<(\d+)>" + FORMS[form].replace("HOST", os.uname().nodename) + "\n")
    found = [pattern.fullmatch(receiver.recv(4096).decode()) for _ in range(3)]
    said = {match.groups() for match in found if match is not None}
    tag = identifier[:12]
    # daemon (3) x 8 + info (6) or error (3)
    assert said == {("30", tag, "out"), ("27", tag, "err"), ("30", tag, "no end")}
    # Read back from the cache, as with dockerd's dual logging.
    logs = engine.docker("logs", "box")
    assert (logs.stdout, logs.stderr) == ("out\nno end", "err\n")


def test_syslog_facility_and_tag(engine: EngineUnderTest, receiver: socket.socket) -> None:
    options = (f"syslog-address=unixgram://{receiver.getsockname()}", "syslog-facility=local7",
               "tag={{.ImageName}}/{{ .Name }}/{{.ID}}", "cache-disabled=true")  # fmt: skip
    words = [word for option in options for word in ("--log-opt", option)]
    identifier = run(engine, "syslog", *words, script="echo hi")
    assert receiver.recv(4096).decode().startswith("<190>")
    engine.docker("rm", "box")
    identifier = run(engine, "syslog", *words, script="echo hi")
    assert f" busybox/box/{identifier[:12]}[" in receiver.recv(4096).decode()
    logs = engine.docker("logs", "box", check=False)
    assert "configured logging driver does not support reading" in logs.stderr


@pytest.mark.parametrize("protocol", ["udp", "tcp", "unix"])
def test_syslog_over_the_network_and_by_a_stream(
    engine: EngineUnderTest, tmp_path: Path, protocol: str
) -> None:
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    family = socket.AF_UNIX if protocol == "unix" else socket.AF_INET
    namespace = os.open(f"/proc/{engine.host.pid}/ns/net", os.O_RDONLY)
    with inside(namespace):
        server = socket.socket(family, kind)
    os.close(namespace)
    with server:
        server.settimeout(10)
        server.bind(str(tmp_path / "s") if protocol == "unix" else ("127.0.0.1", 0))
        name = server.getsockname()
        address = f"unix://{name}" if protocol == "unix" else f"{protocol}://127.0.0.1:{name[1]}"
        if protocol != "udp":
            server.listen()
        run(engine, "syslog", "--log-opt", f"syslog-address={address}", script="echo a; echo b")
        if protocol == "udp":
            text = server.recv(4096) + server.recv(4096)
        else:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as stream:
                text = stream.read()
        assert [line.rpartition(b" ")[2] for line in text.splitlines()] == [b"a", b"b"]


def test_a_syslog_daemon_that_comes_back_is_called_again(
    engine: EngineUnderTest, tmp_path: Path
) -> None:
    path = str(tmp_path / "socket")
    first = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    first.bind(path)
    first.settimeout(10)
    count = "i=0; while :; do echo n$i; i=$((i+1)); sleep 0.1; done"
    words = ("--log-driver", "syslog", "--log-opt", f"syslog-address=unixgram://{path}")
    engine.docker("run", "-d", "--name", "box", *words, "busybox", "sh", "-c", count)
    assert b"n0" in first.recv(4096)
    first.close()
    os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
        second.bind(path)
        second.settimeout(10)
        assert b": n" in second.recv(4096)
    assert engine.docker("logs", "box").stdout.startswith("n0\nn1\n")


def test_a_full_syslog_daemon_stalls_the_container_and_no_other(
    engine: EngineUnderTest, receiver: socket.socket
) -> None:
    address = f"syslog-address=unixgram://{receiver.getsockname()}"
    loud = "yes 0123456789012345678901234567890123456789 | head -n 100000; echo last"
    words = ("--log-driver", "syslog", "--log-opt", address)
    engine.docker("run", "-d", "--name", "box", *words, "busybox", "sh", "-c", loud)
    assert engine.docker("run", "--rm", "busybox", "echo", "hi").stdout == "hi\n"
    received = 0
    while b"last" not in receiver.recv(4096):
        received += 1
    assert received == 100_000


def parse_entry(data: bytes) -> dict[str, bytes]:
    """Read an entry of the journal's native protocol."""
    fields: dict[str, bytes] = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, separator, value = line.partition(b"=")
        if not separator:
            (size,) = struct.unpack_from("<Q", data)
            value, data = data[8 : 8 + size], data[8 + size + 1 :]
        fields[name.decode()] = value
    return fields


def test_journald(engine: EngineUnderTest, receiver: socket.socket, tmp_path: Path) -> None:
    refused = engine.docker(
        "run", "--name", "box", "--log-driver", "journald", "busybox", check=False
    )
    assert refused.returncode == 125
    assert (
        "failed to initialize logging driver: journald: no log daemon answers at "
        "unixgram:///run/systemd/journal/socket: No such file or directory"
    ) in refused.stderr
    engine.docker("rm", "box")
    engine.host.run("mount", "-t", "tmpfs", "tmpfs", "/run")
    try:
        engine.host.run("mkdir", "-p", "/run/systemd/journal")
        engine.host.run("mount", "--bind", str(tmp_path), "/run/systemd/journal")
        options = ("--log-opt", "labels=team", "--label", "team=blue", "--log-opt", "tag=t")
        identifier = run(engine, "journald", *options)
        entries = [parse_entry(receiver.recv(65536)) for _ in range(3)]
        assert engine.docker("logs", "box").stdout == "out\nno end"
    finally:
        engine.host.run("umount", "/run/systemd/journal")
        engine.host.run("umount", "/run")
    by_message = {entry["MESSAGE"]: entry for entry in entries}
    assert by_message.keys() == {b"out", b"err", b"no end"}
    out = by_message[b"out"]
    assert out["CONTAINER_ID_FULL"].decode() == identifier
    assert (out["CONTAINER_NAME"], out["IMAGE_NAME"], out["TEAM"]) == (b"box", b"busybox", b"blue")
    assert (out["PRIORITY"], by_message[b"err"]["PRIORITY"]) == (b"6", b"3")
    assert (out["SYSLOG_IDENTIFIER"], out["CONTAINER_TAG"]) == (b"t", b"t")
    assert by_message[b"no end"]["CONTAINER_PARTIAL_MESSAGE"] == b"true"


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("gelf", {}, "logger: no log driver named 'gelf' is registered"),
        ("syslog", {"max-size": "1m"}, "unknown log opt 'max-size' for syslog log driver"),
        ("syslog", {"syslog-address": "here"}, "should be in form proto://address, got here"),
        ("syslog", {"syslog-address": "tcp+tls://h:1"}, "syslog over TLS is not supported"),
        ("syslog", {"syslog-facility": "nosuch"}, "invalid syslog facility"),
        ("syslog", {"syslog-format": "rfc1"}, "Invalid syslog format: rfc1"),
        ("syslog", {"tag": "{{.Nosuch}}"}, "{{.Nosuch}} is none of {{.ID}}"),
        ("journald", {"syslog-format": "rfc3164"}, "unknown log opt 'syslog-format' for journald"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("none", {"tag": "x"}, "unknown log opt 'tag' for none log driver"),
    ],
)
def test_what_a_driver_does_not_have_is_refused(
    engine: EngineUnderTest, driver: str, options: dict[str, str], message: str
) -> None:
    body = {"Image": "busybox", "HostConfig": {"LogConfig": {"Type": driver, "Config": options}}}
    with pytest.raises(ApiError) as refused:
        engine.client.post("/containers/create", body)
    assert refused.value.status < 500 or "not supported" in message
    assert message in str(refused.value)


@pytest.mark.parametrize("driver", ["json-file", "local"])
def test_file_drivers_rotate_and_say_what_they_were_asked_to(
    engine: EngineUnderTest, driver: str
) -> None:
    options = ["--log-opt", "max-size=10k", "--log-opt", "max-file=3"]
    if driver == "json-file":
        options += ["--log-opt", "tag={{.Name}}", "--log-opt", "env=A", "-e", "A=1"]
    script = "i=0; while [ $i -lt 9999 ]; do echo line $i; i=$((i+1)); done"
    identifier = run(engine, driver, *options, script=script)
    logs = engine.docker("logs", "box").stdout.splitlines()
    assert logs[-1] == "line 9998"
    assert 10 < len(logs) < 9999
    directory = engine.data_root / "containers" / identifier
    files = [f for f in directory.iterdir() if f.name.startswith(f"{identifier}-json.log")]
    # `local` keeps what one read gave in one record, and never cuts a record.
    record = 64 << 10 if driver == "local" else 1 << 10
    assert sum(f.stat().st_size for f in files) < 3 * ((10 << 10) + record)
    if driver == "json-file":
        detail = engine.docker("logs", "--details", "--tail", "1", "box").stdout
        assert detail == "A=1,tag=box line 9998\n"
