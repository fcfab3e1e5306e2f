"""nginx, PostgreSQL and a Python application: built from Debian's packages, pushed, pulled, run.

The base is a Debian root that mmdebstrap makes once. ``RUN apt-get`` and ``RUN pip`` reach the
package registries by a proxy, as behind many a company's. What costs most (the database, the
compiler) comes from the build cache of the first run, by ``--cache-from``.
"""

import json
from collections.abc import Iterator

import pytest

from support.cli import Cli
from support.debian import debian_root
from support.engine import EngineUnderTest
from support.peer import CACHE
from support.registry import Registry
from support.waiting import eventually
from support.way_out import WayOut

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

DOCKERFILE = """\
FROM bookworm AS updated
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get -qq update

FROM updated AS nginx
ARG INSTALL="apt-get -qq install -y --no-install-recommends"
RUN $INSTALL nginx-light && ln -sf /dev/stdout /var/log/nginx/access.log
COPY page /var/www/html/index.html
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]

FROM updated AS postgres
ARG INSTALL="apt-get -qq install -y --no-install-recommends"
RUN mkdir -p /etc/postgresql-common && \\
    echo create_main_cluster = false > /etc/postgresql-common/createcluster.conf && \\
    $INSTALL postgresql && install -d -o postgres -g postgres -m 3777 /run/postgresql
ENV PATH=/usr/lib/postgresql/15/bin:$PATH PGDATA=/data/main
RUN install -d -o postgres -g postgres /data
USER postgres
RUN initdb --auth=trust --no-sync > /dev/null
VOLUME /data
CMD ["postgres", "-c", "fsync=off"]

FROM updated AS wheels
ARG INSTALL="apt-get -qq install -y --no-install-recommends"
RUN $INSTALL gcc libc6-dev python3-dev python3-pip python3-setuptools python3-wheel
COPY requirements.txt /
RUN pip wheel -q --no-deps --no-build-isolation --no-binary :all: -w /wheels -r requirements.txt

FROM updated AS app
ARG INSTALL="apt-get -qq install -y --no-install-recommends"
RUN $INSTALL python3 python3-pip
RUN --mount=from=wheels,source=/wheels,target=/wheels \\
    pip install -q --break-system-packages --no-index /wheels/*.whl
COPY app.py /app.py
CMD ["python3", "/app.py"]
"""
APP = """\
from http.server import BaseHTTPRequestHandler, HTTPServer
import markupsafe
import markupsafe._speedups as compiled

class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{markupsafe.escape('<hello>')} by {compiled.__file__}".encode())

HTTPServer(("", 80), Page).serve_forever()
"""
BUILD_S = 400  # the first run on a machine compiles; later ones take a fraction


@pytest.fixture(scope="module")
def base_engine(module_engine: EngineUnderTest) -> EngineUnderTest:
    certificates = "/etc/ssl/certs/ca-certificates.crt"
    root = debian_root(
        "base",
        ("ca-certificates",),
        variant="apt",
        hooks=(
            f'cp {certificates} "$1{certificates}"',
            'rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin',
        ),
    )
    module_engine.docker("import", str(root), "bookworm", timeout=300)
    return module_engine


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("real")
    files = {
        "Dockerfile": DOCKERFILE,
        "app.py": APP,
        "page": "a page\n",
        "requirements.txt": "markupsafe==2.1.5\n",
    }
    for name, text in files.items():
        (directory / name).write_text(text)
    return str(directory)


@pytest.fixture(scope="module")
def proxy(base_engine: EngineUnderTest) -> Iterator[list[str]]:
    """Give the flags that let a build's commands out."""
    way_out = WayOut(base_engine.host)
    address = f"http://172.17.0.1:{way_out.port}"
    yield ["--build-arg", f"http_proxy={address}", "--build-arg", f"https_proxy={address}"]
    way_out.close()


@pytest.fixture(scope="module")
def registry(base_engine: EngineUnderTest) -> Iterator[Registry]:
    registry = Registry(base_engine.host)
    yield registry
    registry.close()


def build(cutaway: Cli, target: str, source: str, proxy: list[str]) -> None:
    """Build a target by our client, with what an earlier run on this machine has built."""
    place = CACHE / f"build-{target}"
    told = cutaway(
        "build", *proxy, "--progress", "plain", "--target", target, "-t", target,
        "--cache-from", f"type=local,src={place}",
        "--cache-to", f"type=local,dest={place},mode=max", source, timeout=BUILD_S,
    )  # fmt: skip
    assert f"Successfully tagged {target}:latest" in told


def fetch(engine: EngineUnderTest, name: str) -> str:
    (container,) = json.loads(engine.docker("inspect", name).stdout)
    address = f"http://{container['NetworkSettings']['Networks']['bridge']['IPAddress']}"
    eventually(
        lambda: engine.host.run("curl", "-fs", address, check=False).returncode == 0, timeout_s=60
    )
    return engine.host.run("curl", "-fs", address).stdout


def travel(engine: EngineUnderTest, registry: Registry, name: str) -> str:
    """Push an image, forget it and what it was built of, pull it back; returns its name."""
    remote = f"{registry.address}/{name}"
    engine.docker("tag", name, remote)
    engine.docker("push", "-q", remote, timeout=120)
    before = engine.docker("images", "-q", "--no-trunc", remote).stdout
    engine.docker("rmi", "-f", remote, name)
    engine.client.post("/build/prune", all=True)
    engine.docker("pull", "-q", remote, timeout=120)
    assert engine.docker("images", "-q", "--no-trunc", remote).stdout == before
    return remote


def test_nginx_by_the_docker_command(engine, source, proxy, registry):
    done = engine.host.run(
        "docker", "build", *proxy, "--target", "nginx", "-t", "nginx", source, timeout=BUILD_S,
        env={**engine.environment(), "DOCKER_BUILDKIT": "0"},
    )  # fmt: skip
    assert "Successfully tagged nginx:latest" in done.stdout
    assert "172.17.0.1" not in engine.docker("history", "--no-trunc", "nginx").stdout
    remote = travel(engine, registry, "nginx")
    engine.docker("run", "-d", "--name", "web", remote)
    assert fetch(engine, "web") == "a page\n"
    engine.docker("stop", "web")
    assert "GET / HTTP" in engine.docker("logs", "web").stdout


def test_postgresql(engine, cutaway, source, proxy, registry):
    build(cutaway, "postgres", source, proxy)
    remote = travel(engine, registry, "postgres")
    engine.docker("run", "-d", "--name", "db", remote)

    def ask(question: str) -> str:
        return engine.docker("exec", "db", "psql", "-qAtc", question, check=False).stdout

    eventually(lambda: ask("select 6 * 7") == "42\n", timeout_s=60)
    ask("create table t as select generate_series(1, 1000) n")
    assert ask("select sum(n) from t") == "500500\n"
    engine.docker("stop", "-s", "INT", "db")
    assert engine.docker("inspect", "-f", "{{.State.ExitCode}}", "db").stdout == "0\n"


def test_python_with_a_dependency_that_another_stage_compiles(
    engine, cutaway, source, proxy, registry
):
    build(cutaway, "app", source, proxy)
    remote = travel(engine, registry, "app")
    engine.docker("run", "--rm", remote, "sh", "-c", "! command -v gcc")
    engine.docker("run", "-d", "--name", "app", remote)
    assert fetch(engine, "app").startswith("&lt;hello&gt; by /usr/")
    engine.docker("kill", "app")
