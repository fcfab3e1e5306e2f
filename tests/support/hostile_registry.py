"""A registry of the tests' own that tells the truth, unless a test makes it lie."""

import hashlib
import io
import json
import re
import socket
import tarfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from backports import zstd
from isal import igzip

from cutaway.images.registry.settings import RegistrySettings
from support.netns import Namespace

QUICK = RegistrySettings(
    backoff_s=0.01, stall_timeout_s=1.0, connect_timeout_s=2.0, certificate_dirs=()
)
OCI = "application/vnd.oci.image."
MANIFEST_TYPE = OCI + "manifest.v1+json"
INDEX_TYPE = OCI + "index.v1+json"
CONFIG_TYPE = OCI + "config.v1+json"
LAYER_TYPE = OCI + "layer.v1.tar"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def described(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data), **more}


@dataclass
class FakeImage:
    """An image's documents and blobs; a test may change them before they are served.

    Attributes:
        blobs: by digest.
        config: the image config, decoded.
        manifest: the manifest, decoded; ``config`` is filled in by ``encode``.
        media_type: of the manifest.
    """

    blobs: dict[str, bytes] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    media_type: str = MANIFEST_TYPE

    def add_layer(self, files: dict[str, bytes], compression: str = "gzip") -> dict[str, Any]:
        """Add a layer on top and return its descriptor, which a test may falsify."""
        tar = tar_of(files)
        packed = {"gzip": igzip.compress, "zstd": zstd.compress, "": bytes}[compression](tar)
        suffix = f"+{compression}" if compression else ""
        descriptor = described(packed, LAYER_TYPE + suffix)
        self.blobs[descriptor["digest"]] = packed
        self.config["rootfs"]["diff_ids"].append(digest_of(tar))
        self.manifest["layers"].append(descriptor)
        return descriptor

    def encode(self) -> bytes:
        """Return the manifest's bytes, after storing the config."""
        config = json.dumps(self.config).encode()
        self.blobs[digest_of(config)] = config
        self.manifest.setdefault("config", described(config, CONFIG_TYPE))
        return json.dumps(self.manifest).encode()


def make_image(
    layers: int = 1, size: int = 1000, platform: str = "amd64", salt: str = ""
) -> FakeImage:
    """Make an image with layers of ``size`` incompressible bytes each."""
    image = FakeImage(
        config={
            "architecture": platform,
            "os": "linux",
            "created": "2024-01-01T00:00:00Z",
            "config": {"Cmd": ["sh"], "Labels": {"salt": salt}},
            "rootfs": {"type": "layers", "diff_ids": []},
        },
        manifest={"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "layers": []},
    )
    for number in range(layers):
        seed = f"{salt}{number}".encode()
        content = b"".join(
            hashlib.sha256(seed + str(n).encode()).digest() for n in range(size // 32 + 1)
        )
        image.add_layer({f"file{number}": content[:size]})
    return image


@dataclass
class Seen:
    """One request that the registry got."""

    method: str
    path: str
    headers: dict[str, str]


class Exchange(BaseHTTPRequestHandler):
    """One request being answered; given to a test's rule."""

    protocol_version = "HTTP/1.1"
    registry: "HostileRegistry"

    def reply(
        self,
        status: int = 200,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        """Send a whole answer; ``length`` lies about the body's."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if length is not None and length > len(body):
            self.drop()

    def reply_error(self, status: int, code: str, message: str, **headers: str) -> None:
        """Send an error in the distribution-spec's form."""
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        self.reply(status, body, {k.replace("_", "-"): v for k, v in headers.items()})

    def reply_endlessly(self, piece: bytes = b"x" * 65536) -> None:
        """Send a chunked body until the other side has had enough."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                self.registry.sent += len(piece)
        except OSError:
            self.close_connection = True

    def drop(self) -> None:
        """Close the connection now."""
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def wait(self) -> None:
        """Say nothing until the test ends or the client goes."""
        self.registry.ended.wait(60)
        self.close_connection = True

    def serve(self) -> None:
        """Tell the truth."""
        self.registry.serve(self)

    def answer(self) -> None:
        registry = self.registry
        registry.seen.append(Seen(self.command, self.path, dict(self.headers)))
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else b""
        for method, pattern, rule in registry.rules:
            if method == self.command and re.fullmatch(pattern, self.path):
                rule(self)
                return
        self.serve()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up on a liar is no error."""


class HostileRegistry:
    """An HTTP server on loopback.

    Attributes:
        address: ``127.0.0.1:PORT``.
        manifests: bytes and content type by ``NAME/manifests/TAG-OR-DIGEST``.
        blobs: by digest.
        rules: (method, regular expression of the path, function of the exchange), first wins.
        seen: every request.
        sent: bytes of endless bodies sent.
        ended: set when the test is over.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.manifests: dict[str, tuple[bytes, str]] = {}
        self.blobs: dict[str, bytes] = {}
        self.rules: list[tuple[str, str, Callable[[Exchange], None]]] = []
        self.seen: list[Seen] = []
        self.sent = 0
        self.ended = threading.Event()
        self.uploads: dict[str, bytes] = {}
        self._servers: list[_Server] = []
        port = self._listen((host, 0))
        self.address = f"{host}:{port}"
        self.url = f"http://{self.address}"

    def _listen(self, address: tuple[str, int]) -> int:
        handler = type("BoundExchange", (Exchange,), {"registry": self})
        server = _Server(address, handler)
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return int(server.server_address[1])

    def listen_in(self, namespace: Namespace) -> None:
        """Listen at the same address in another network namespace too."""
        host, _, port = self.address.rpartition(":")
        namespace.run(lambda: self._listen((host, int(port))))

    def __enter__(self) -> "HostileRegistry":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop."""
        self.ended.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def on(self, method: str, path: str, rule: Callable[[Exchange], None]) -> None:
        """Answer requests whose path matches ``path`` by ``rule``; a later rule goes first."""
        self.rules.insert(0, (method, path, rule))

    def once(self, method: str, path: str, *rules: Callable[[Exchange], None]) -> None:
        """Answer the first matching requests by ``rules``, one each, and the rest truthfully."""
        left = list(rules)

        def rule(exchange: Exchange) -> None:
            (left.pop(0) if left else Exchange.serve)(exchange)

        self.on(method, path, rule)

    def put(self, image: FakeImage, name: str = "app", tag: str = "latest") -> str:
        """Serve an image; return its manifest's digest."""
        data = image.encode()
        self.blobs |= image.blobs
        return self.put_manifest(data, image.media_type, name, tag)

    def put_manifest(
        self, data: bytes, media_type: str, name: str = "app", tag: str = "latest"
    ) -> str:
        """Serve a manifest or anything in its place; return its digest."""
        digest = digest_of(data)
        for reference in (tag, digest):
            self.manifests[f"{name}/manifests/{reference}"] = data, media_type
        return digest

    def requests(self, pattern: str) -> list[Seen]:
        """Return the requests whose path matches."""
        return [s for s in self.seen if re.fullmatch(pattern, s.path)]

    def serve(self, exchange: Exchange) -> None:
        """Answer as a registry does."""
        path = exchange.path.removeprefix("/v2/")
        digest = path.rpartition("/blobs/")[2]
        if path == "":
            exchange.reply(200, b"{}")
        elif exchange.command == "PUT" and "/manifests/" in path:
            media_type = exchange.headers["Content-Type"]
            self.manifests[path] = exchange.body, media_type
            exchange.reply(201, headers={"Docker-Content-Digest": digest_of(exchange.body)})
        elif path in self.manifests:
            data, media_type = self.manifests[path]
            headers = {"Content-Type": media_type, "Docker-Content-Digest": digest_of(data)}
            exchange.reply(200, data, headers)
        elif "/blobs/uploads/" in path:
            self._serve_upload(exchange, path)
        elif digest in self.blobs:
            self._serve_blob(exchange, self.blobs[digest])
        else:
            code = "MANIFEST_UNKNOWN" if "/manifests/" in path else "BLOB_UNKNOWN"
            exchange.reply_error(404, code, code.lower().replace("_", " "))

    def _serve_blob(self, exchange: Exchange, data: bytes) -> None:
        asked = exchange.headers.get("Range")
        if asked is None:
            exchange.reply(200, data)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(data):
            exchange.reply(416)
            return
        where = f"bytes {start}-{len(data) - 1}/{len(data)}"
        exchange.reply(206, data[start:], {"Content-Range": where})

    def _serve_upload(self, exchange: Exchange, path: str) -> None:
        name, _, rest = path.partition("/blobs/uploads/")
        number, _, query = rest.partition("?")
        if exchange.command == "POST":
            number = str(len(self.uploads))
            self.uploads[number] = b""
            exchange.reply(202, headers={"Location": f"/v2/{name}/blobs/uploads/{number}?state=x"})
            return
        self.uploads[number] += exchange.body
        if exchange.command == "GET":
            last = len(self.uploads[number]) - 1
            exchange.reply(204, headers={"Range": f"0-{max(last, 0)}"})
        elif exchange.command == "PATCH":
            exchange.reply(202, headers={"Location": f"/v2/{name}/blobs/uploads/{number}"})
        else:
            self.blobs[digest_of(self.uploads[number])] = self.uploads[number]
            is_right = digest_of(self.uploads[number]).replace(":", "%3A") in query
            exchange.reply(201 if is_right else 400)
