"""The real API server in a thread of its own, in front of a fake engine; and a raw client."""

import asyncio
import contextlib
import json
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cutaway.api.server import Server
from support.fake_engine import FakeEngine


class Reply:
    """A whole HTTP answer."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0] else 0
        pairs = (line.split(": ", 1) for line in lines[1:])
        self.headers = {name.lower(): value for name, value in pairs}
        if self.headers.get("transfer-encoding") == "chunked":
            self.body, self.whole = unchunk(self.body)
        else:
            length = self.headers.get("content-length")
            self.whole = length is None or len(self.body) == int(length)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["message"])


def unchunk(body: bytes) -> tuple[bytes, bool]:
    """Return the content of a chunked body, and whether its end was there."""
    content = b""
    while body:
        size_text, _, rest = body.partition(b"\r\n")
        size = int(size_text, 16)
        if size == 0:
            return content, True
        content += rest[:size]
        body = rest[size + 2 :]
    return content, False


class ApiServer:
    """Starts the server; ``send`` speaks raw HTTP to it."""

    def __init__(self, configure: Callable[[Server], None] | None = None, **options: Any) -> None:
        self.directory = tempfile.TemporaryDirectory(prefix="api-test-")
        self.path = str(Path(self.directory.name) / "api.sock")
        self.engine = FakeEngine()
        self._options = options
        self._configure = configure
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "ApiServer":
        self._thread.start()
        assert self._ready.wait(10)
        if self._failed is not None:
            self._thread.join(20)
            self.directory.cleanup()
            raise self._failed
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self.directory.cleanup()

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.server = Server(self.engine.backends(), product="cutaway/test", **self._options)
        try:
            self.server.listen_unix(self.path)
            if self._configure is not None:
                self._configure(self.server)
        except BaseException as error:
            self._failed = error
        self._ready.set()
        if self._failed is None:
            await self._stop.wait()
        await self.server.close(grace_s=1)

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(15)
        sock.connect(self.path)
        return sock

    def send(self, raw: bytes) -> Reply:
        """Send bytes, close our direction, and read to the end."""
        with self.connect() as sock:
            with contextlib.suppress(OSError):  # refused before it was whole: the answer says why
                sock.sendall(raw)
            return Reply(read_all(sock))

    def request(
        self,
        method: str,
        target: str,
        body: bytes | dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Do one request."""
        sent = {"Host": "docker", "Connection": "close"}
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        if body is not None:
            sent["Content-Length"] = str(len(body))
        sent.update(headers or {})
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        return self.send(f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode() + (body or b""))

    def container(self, name: str = "web", **config: Any) -> str:
        """Create a container; returns its id."""
        body = {"Image": "busybox", **config}
        reply = self.request("POST", f"/containers/create?name={name}", body)
        assert reply.status == 201, reply.body
        return str(reply.json["Id"])


def read_all(sock: socket.socket) -> bytes:
    """Read until the other side ends."""
    data = b""
    while True:
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            return data
        if not piece:
            return data
        data += piece
