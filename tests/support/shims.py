"""Bundles with a busybox root, and one container with its shim: what the shim tests act with."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from cutaway.shim import protocol
from cutaway.shim.client import LauncherClient, ShimClient
from cutaway.shim.logs import stdcopy
from cutaway.shim.protocol import Event, Launch, LogSettings, Reply
from support.waiting import eventually, is_late

BUSYBOX = Path("/bin/busybox")
RUNC = shutil.which("runc") or "/usr/sbin/runc"
TIMEOUT_S = 20


def make_root(directory: Path) -> Path:
    """A root file system of busybox alone."""
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    for name in ("bin", "proc", "sys", "dev", "etc", "tmp", "root"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(BUSYBOX, directory / "bin/busybox")
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout
    for applet in applets.split():
        if applet != "busybox":
            (directory / "bin" / applet).symlink_to("busybox")
    (directory / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/:/bin/sh\n")
    (directory / "etc/group").write_text("root:x:0:\nweb:x:33:\nadm:x:4:web\n")
    return directory


CAPABILITIES = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"]


def process(*args: str, terminal: bool = False, env: list[str] | None = None) -> dict:
    sets = dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES)
    return {
        "terminal": terminal,
        "user": {"uid": 0, "gid": 0},
        "args": list(args),
        "env": ["PATH=/bin", *(env or [])],
        "cwd": "/",
        "capabilities": sets,
    }


def make_config(root: Path, container_id: str, *args: str, terminal: bool = False) -> dict:
    return {
        "ociVersion": "1.0.2",
        "process": process(*args, terminal=terminal),
        "root": {"path": str(root), "readonly": True},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
        ],
        "linux": {
            "cgroupsPath": f"/cutaway-shim-test/{container_id}",
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
            "resources": {"devices": [{"allow": True, "access": "rwm"}]},
        },
    }


def choose_network(config: dict) -> str:
    kinds = {item["type"]: item for item in config["linux"]["namespaces"]}
    if "network" not in kinds or kinds["network"].get("path"):
        return "joined"
    return "init" if "user" in kinds and not kinds["user"].get("path") else "own"


class Box:
    """One container: its directories, its shim client, and everything the shim has said."""

    def __init__(self, base: Path, root: Path, launcher: LauncherClient, runtime: str) -> None:
        self.id = secrets.token_hex(32)
        self.run = base / "run" / self.id
        self.home = base / "home" / self.id
        self.run.mkdir(parents=True, mode=0o700)
        self.home.mkdir(parents=True)
        self.log = LogSettings(path=str(self.home / f"{self.id}-json.log"))
        self.root = root
        self.base = base
        self.launcher = launcher
        self.runtime = runtime
        self.shim: ShimClient | None = None
        self.events: list[Event] = []
        self.replies: dict[int, Reply] = {}
        self.keeper_pid = 0
        self.netns = ""
        self.clients: list[socket.socket] = []

    def launch(
        self,
        *args: str,
        terminal: bool = False,
        config: dict | None = None,
        make: bool = True,
        **options,
    ) -> None:
        document = config or make_config(self.root, self.id, *args, terminal=terminal)
        (self.run / "config.json").write_text(json.dumps(document))
        external = None
        if self.runtime == "runc":
            external = protocol.ExternalRuntime(path=RUNC, root=str(self.base / "runc"))
        request = Launch(
            self.id,
            str(self.run),
            str(self.home),
            network=choose_network(document),
            terminal=document["process"].get("terminal", False),
            log=options.pop("log", self.log),
            runtime=external,
            **options,
        )
        request_id, self.shim = self.launcher.launch(request)
        self.making = self.shim.request(protocol.Make()) if make else 0
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline and not self.keeper_pid:
            for received in self.launcher.read_within(1):
                if isinstance(received.message, Reply) and received.message.id == request_id:
                    assert received.message.error is None, received.message.error
                    self.keeper_pid = received.message.result["pid"]

    def made(self) -> Reply:
        """Wait until the maker has its request."""
        return self.reply(self.making, "make")

    def read(self, timeout_s: float = TIMEOUT_S) -> None:
        for received in self.shim.read_within(timeout_s):
            for fd in received.fds:
                self.netns = os.readlink(f"/proc/self/fd/{fd}")
                os.close(fd)
            if isinstance(received.message, Event):
                self.events.append(received.message)
            else:
                self.replies[received.message.id] = received.message

    def event(self, name: str, count: int = 1, timeout_s: float = TIMEOUT_S) -> Event:
        """Wait for the count-th event of that name."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = [event for event in self.events if event.name == name]
            if len(found) >= count:
                return found[count - 1]
            assert time.monotonic() < deadline, (
                f"no {name}: {[e.name for e in self.events]} {self.trouble()}"
            )
            assert not self.shim.at_end, f"shim ended before {name}: {self.events} {self.trouble()}"
            self.read(0.5)

    def trouble(self) -> str:
        path = self.run / "shim.log"
        return path.read_text() if path.exists() else ""

    def ask(self, message, fds=(), timeout_s: float = TIMEOUT_S) -> Reply:
        return self.reply(self.shim.request(message, fds), message, timeout_s)

    def reply(self, request_id: int, message, timeout_s: float = TIMEOUT_S) -> Reply:
        deadline = time.monotonic() + timeout_s
        while request_id not in self.replies:
            assert time.monotonic() < deadline, f"no reply to {message}: {self.trouble()}"
            assert not self.shim.at_end, f"shim ended: {self.trouble()}"
            self.read(0.5)
        return self.replies[request_id]

    def start(self) -> Reply:
        reply = self.ask(protocol.Start())
        assert reply.error is None, reply.error
        return reply

    def attach(self, **options) -> socket.socket:
        ours, theirs = socket.socketpair()
        reply = self.ask(protocol.Attach(secrets.token_hex(4), **options), (theirs.fileno(),))
        theirs.close()
        assert reply.error is None, reply.error
        return self._keep(ours)

    def _keep(self, client: socket.socket) -> socket.socket:
        client.settimeout(TIMEOUT_S)
        self.clients.append(client)
        return client

    def exec(self, *args: str, exec_id: str = "", terminal: bool = False, **options):
        """Return (reply, client socket)."""
        ours, theirs = socket.socketpair()
        self._keep(ours)
        request = protocol.Exec(
            exec_id or secrets.token_hex(4), process(*args, terminal=terminal), **options
        )
        reply = self.ask(request, (theirs.fileno(),))
        theirs.close()
        return reply, ours

    def finish(self) -> None:
        """Acknowledge everything and see the shim leave."""
        self.event("cleaned")
        self.shim.acknowledge(max(event.seq for event in self.events))
        self.wait_shim_gone()

    def find_shim(self) -> int:
        """Return the shim's process id, 0 while it is at rest or gone."""
        with contextlib.suppress(OSError):
            path = f"/proc/{self.keeper_pid}/task/{self.keeper_pid}/children"
            for pid in map(int, Path(path).read_text().split()):
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"cutaway: shim"):
                    return pid
        return 0

    @property
    def shim_pid(self) -> int:
        """The process id of the shim, which works, or waits for another box."""
        eventually(self.find_shim)
        return self.find_shim()

    def wait_rest(self) -> None:
        """See the shim go to rest: only its keeper is left."""
        name = f"cutaway: keeper {self.id[:12]}".encode()
        path = Path(f"/proc/{self.keeper_pid}/cmdline")
        eventually(lambda: not self.find_shim() and path.read_bytes().startswith(name))

    @property
    def has_shim(self) -> bool:
        """The shim has not left: it is at rest, or works and does not wait for another box."""
        mine = f"{self.id[:12]}".encode()
        for pid, title in ((self.find_shim(), b"shim"), (self.keeper_pid, b"keeper")):
            with contextlib.suppress(OSError):
                if (
                    Path(f"/proc/{pid}/cmdline")
                    .read_bytes()
                    .startswith(b"cutaway: %s %s" % (title, mine))
                ):
                    return True
        return False

    def wait_shim_gone(self) -> None:
        started = time.monotonic()
        while self.has_shim:
            assert not is_late(started, TIMEOUT_S), f"the shim stays: {self.trouble()}"
            time.sleep(0.01)

    def log_entries(self) -> list[dict]:
        return [json.loads(line) for line in Path(self.log.path).read_text().splitlines()]

    def end(self) -> None:
        """Whatever the test did, leave nothing."""
        for client in self.clients:
            client.close()
        if self.keeper_pid and self.has_shim:
            try:
                self.shim.close()
                self.shim = ShimClient.connect(str(self.run / "shim.sock"))
                self.shim.call(protocol.Hello())
                self.shim.call(protocol.Delete())
                self.shim.close()
                self.wait_shim_gone()
            except (OSError, AssertionError):
                os.kill(self.keeper_pid, signal.SIGKILL)
        elif self.shim:
            self.shim.close()
        self.remove_cgroups()

    def cgroups(self) -> list[Path]:
        return list(Path("/sys/fs/cgroup").glob(f"*/cutaway-shim-test/{self.id}"))

    def remove_cgroups(self) -> None:
        """What a killed shim left is the engine's to sweep; here there is none."""
        for directory in self.cgroups():
            with contextlib.suppress(OSError):
                directory.rmdir()


def receive_all(client: socket.socket) -> bytes:
    chunks = []
    while chunk := client.recv(1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def texts(data: bytes) -> dict[int, bytes]:
    """Join the payloads of stdcopy frames, a stream each."""
    frames, rest = stdcopy.split(data)
    assert rest == b""
    joined: dict[int, list[bytes]] = {}
    for stream, payload in frames:
        joined.setdefault(stream, []).append(payload)
    return {stream: b"".join(payloads) for stream, payloads in joined.items()}
