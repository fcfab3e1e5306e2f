"""What a plugin is made of: an HTTP server on a unix socket that answers methods with JSON.

``python -m support.NAME_OF_A_PLUGIN DIRECTORY`` starts one of those that are built on it.
"""

import json
import os
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

Method = Callable[[dict[str, Any]], Mapping[str, Any]]


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


def make_server(path: Path, implements: list[str], methods: Mapping[str, Method]) -> _Server:
    """Return a server that listens; ``serve_forever`` answers.

    A method gets the request's object and returns the answer's. One that raises ``PluginError``
    answers with status 200 and ``Err``, as volume and network plugins do.
    """
    all_methods = {"Plugin.Activate": lambda _: {"Implements": implements}, **methods}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            arguments = json.loads(self.rfile.read(length) or b"{}")
            method = all_methods.get(self.path[1:])
            if method is None:
                return self.answer(404, {"Err": f"no such method: {self.path}"})
            try:
                return self.answer(200, method(arguments))
            except PluginError as error:
                return self.answer(200, {error.field: str(error)})

        def answer(self, status: int, document: Mapping[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "engine"

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    before = os.umask(0o077)
    try:
        return _Server(str(path), Handler)
    finally:
        os.umask(before)


class PluginError(Exception):
    """What a plugin answers in ``Err`` (IPAM plugins in ``Error``)."""

    def __init__(self, text: str, field: str = "Err") -> None:
        super().__init__(text)
        self.field = field
