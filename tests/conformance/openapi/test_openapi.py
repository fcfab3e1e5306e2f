"""schemathesis on our own description: no internal error, and no answer outside its schema."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.images import busybox_archive

HERE = Path(__file__).parent
PORT = 2375
SEED = "1"
CHECKS = "not_a_server_error,response_schema_conformance"


@pytest.fixture(scope="module")
def tcp_engine(archives: Path) -> Iterator[EngineUnderTest]:
    """An engine on the loopback of a host of its own, with one object of each kind."""
    engine = EngineUnderTest(f"--host=tcp://127.0.0.1:{PORT}").start()
    try:
        engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
        engine.docker("create", "--name", "standing", "busybox", "true")
        engine.docker("volume", "create", "kept")
        yield engine
    finally:
        engine.close()


@pytest.mark.timeout(180)
def test_no_generated_request_meets_an_internal_error_or_an_answer_outside_its_schema(
    tcp_engine: EngineUnderTest, tmp_path: Path
) -> None:
    done = tcp_engine.host.run(
        *(sys.executable, "-m", "schemathesis.cli"),
        *("--no-color", "--config-file", str(HERE / "schemathesis.toml")),
        *("run", f"http://127.0.0.1:{PORT}/openapi.json", "--checks", CHECKS),
        *("--phases", "coverage,fuzzing", "--max-examples", "10", "--seed", SEED),
        "--generation-deterministic",
        *("--request-timeout", "5", "--continue-on-failure", "--warnings", "off"),
        check=False,
        timeout=120,
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")},
    )
    assert done.returncode == 0, done.stdout + done.stderr + tcp_engine.log.read_text()
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated is not None, done.stdout
    assert int(generated[1]) > 5000
    assert "Traceback" not in tcp_engine.log.read_text()
    assert tcp_engine.answers()


def test_the_description_names_every_operation_of_the_api(tcp_engine: EngineUnderTest) -> None:
    document = tcp_engine.client.get("/openapi.json")
    operations = [m for path in document["paths"].values() for m in path]
    assert document["openapi"] == "3.1.0"
    assert len(operations) > 100
    assert {"/containers/create", "/exec/{name}/start", "/events"} <= document["paths"].keys()
    assert json.dumps(document).count('"operationId"') == len(operations)
