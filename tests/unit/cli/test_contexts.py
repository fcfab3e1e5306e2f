"""Which engine a command talks to."""

import json
from pathlib import Path

import pytest

from cutaway.cli.settings.contexts import directory_of, engine_endpoint


@pytest.mark.parametrize("skips", [True, False])
def test_a_context_says_where_the_engine_is_and_whether_its_certificate_counts(
    tmp_path: Path, skips: bool
) -> None:
    endpoint = {"Host": "tcp://box:2376", "SkipTLSVerify": skips}
    directory = Path(directory_of(str(tmp_path), "box"))
    directory.mkdir(parents=True)
    document = {"Name": "box", "Metadata": {}, "Endpoints": {"docker": endpoint}}
    (directory / "meta.json").write_text(json.dumps(document))
    flags = {"context": "box", "host": []}
    endpoint = engine_endpoint(flags, str(tmp_path))
    assert (endpoint.url, endpoint.skips_verify) == ("tcp://box:2376", skips)
    assert endpoint.has_tls == skips


def test_a_named_host_has_no_context(tmp_path: Path) -> None:
    flags = {"context": "", "host": ["tcp://box:2376"]}
    endpoint = engine_endpoint(flags, str(tmp_path))
    assert (endpoint.url, endpoint.has_tls) == ("tcp://box:2376", False)


def test_a_configuration_that_can_t_be_read_names_no_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CUTAWAY_HOST", "DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config.json").write_text("{")
    endpoint = engine_endpoint({"context": "", "host": []}, str(tmp_path))
    assert (endpoint.url, endpoint.has_tls) == ("", False)
