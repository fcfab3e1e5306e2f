"""docker-compose 1.29 builds by the classic API: arguments, target, labels; what is built runs."""

from pathlib import Path

from support.compose import Compose

FILE = """\
version: "3.9"
services:
  app:
    image: composed:1
    build:
      context: app
      dockerfile: other.dockerfile
      args: {WORD: "from compose"}
      target: one
      labels: {own.label: "yes"}
      network: none
      shm_size: 33554432
      extra_hosts: ["db:10.9.8.7"]
      cache_from: [busybox]
  second:
    build: second
    depends_on: [app]
"""
OTHER = """\
FROM busybox AS one
ARG WORD
RUN echo $WORD > /word; grep -w db /etc/hosts >> /word; ip -o link | wc -l >> /word
CMD ["cat", "/word"]
FROM one AS two
RUN exit 1
"""


def test_compose_builds_what_its_file_says(engine, tmp_path: Path):
    (tmp_path / "app").mkdir()
    (tmp_path / "second").mkdir()
    (tmp_path / "docker-compose.yml").write_text(FILE)
    (tmp_path / "app" / "other.dockerfile").write_text(OTHER)
    (tmp_path / "second" / "Dockerfile").write_text("FROM composed:1\nRUN echo second >> /word\n")
    compose = Compose(engine, "docker-compose", tmp_path / "docker-compose.yml")
    told = compose("build", "--no-cache")
    assert "Successfully tagged composed:1" in told
    assert "Using cache" not in told
    assert "Using cache" in compose("build")
    assert compose("run", "--rm", "app").split() == ["from", "compose", "10.9.8.7", "db", "1"]
    assert compose("run", "--rm", "second").endswith("second\n")
    labels = engine.docker("inspect", "-f", "{{json .Config.Labels}}", "composed:1").stdout
    assert '"own.label":"yes"' in labels
    (tmp_path / "second" / "Dockerfile").write_text("FROM composed:1\nRUN exit 7\n")
    failed = compose.run("up", "--build", check=False)
    assert failed.returncode == 1
    assert "returned a non-zero code: 7" in failed.stderr
    compose("down", "--rmi", "all")
    engine.client.post("/networks/prune")
