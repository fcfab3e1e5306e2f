"""Import from a URL, and search, against a web server beside the engine."""

import json
import sys
from pathlib import Path

import pytest

from support.images import busybox_layer
from support.waiting import eventually

SERVER = """
import http.server, os, sys
os.chdir(sys.argv[1])
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if not self.path.startswith("/v1/search"):
            return super().do_GET()
        body = open("found.json", "rb").read()
        self.send_response(200); self.send_header("Content-Length", str(len(body)))
        self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""
FOUND = {
    "results": [
        {"name": "library/web", "description": "A server", "star_count": 9, "is_official": True},
        {"name": "joe/web", "description": "Joe's", "star_count": 2, "is_official": False},
    ]
}


@pytest.fixture
def web(engine, tmp_path: Path):
    """Serve a directory at 127.0.0.1:8000 beside the engine."""
    (tmp_path / "root.tar").write_bytes(busybox_layer())
    (tmp_path / "rubbish.tar").write_bytes(b"no tar at all" * 100)
    (tmp_path / "found.json").write_text(json.dumps(FOUND))
    server = engine.host.popen([sys.executable, "-c", SERVER, str(tmp_path)], stderr=-3)
    url = "http://127.0.0.1:8000/found.json"
    eventually(lambda: engine.host.run("curl", "-fs", url, check=False).returncode == 0)
    yield "127.0.0.1:8000"
    server.terminate()
    server.wait()


def test_an_image_is_imported_from_a_url(engine, web) -> None:
    done = engine.docker("import", "-c", "CMD echo hi", f"http://{web}/root.tar", "fetched:1")
    assert "sha256:" in done.stdout
    assert engine.docker("run", "--rm", "fetched:1").stdout == "hi\n"
    history = engine.docker("history", "--no-trunc", "fetched:1").stdout
    assert f"Imported from http://{web}/root.tar" in history


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("http://127.0.0.1:8000/missing.tar", "404"),
        ("http://127.0.0.1:8000/rubbish.tar", "layer"),
        ("http://127.0.0.1:1/root.tar", "failed to load http://127.0.0.1:1/root.tar"),
    ],
)
def test_an_import_that_fails_says_why_and_leaves_nothing(engine, web, source, message) -> None:
    before = engine.docker("images", "-aq").stdout
    done = engine.docker("import", source, "never:1", check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert engine.docker("images", "-aq").stdout == before


def test_search_asks_the_registry_that_the_term_names(engine, web) -> None:
    shown = engine.docker("search", "--format", "{{.Name}} {{.StarCount}}", f"{web}/web").stdout
    assert shown.splitlines() == ["library/web 9", "joe/web 2"]
    filters = ("--filter", "is-official=true", "--filter", "stars=3")
    shown = engine.docker("search", *filters, "--format", "{{.Name}}", f"{web}/web").stdout
    assert shown.splitlines() == ["library/web"]
