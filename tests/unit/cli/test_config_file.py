"""What commands take from ``config.json``."""

import json
from pathlib import Path

import pytest

from cutaway.cli.settings.config_file import load_config, proxy_variables, prune_filters
from cutaway.cli.settings.credentials import all_credentials
from cutaway.errors import InvalidParameter


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_what_is_no_json_object_is_refused_by_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(InvalidParameter, match=str(path)):
        load_config(str(tmp_path))


def test_no_configuration_is_an_empty_one(tmp_path: Path) -> None:
    assert load_config(str(tmp_path)) == {}


def test_an_engine_s_own_proxies_go_before_the_default() -> None:
    config = {"proxies": {"default": {"httpProxy": "a"}, "tcp://box:1": {"ftpProxy": "b"}}}
    assert proxy_variables(config, "tcp://box:1", set()) == {"FTP_PROXY": "b", "ftp_proxy": "b"}
    assert proxy_variables(config, "tcp://other:1", {"http_proxy"}) == {"HTTP_PROXY": "a"}


def test_a_label_on_the_command_line_wins_over_its_opposite() -> None:
    config = {"pruneFilters": ["label!=keep", "until=24h"]}
    assert prune_filters(config, ["label=keep"]) == ["label=keep", "until=24h"]
    assert prune_filters(config, []) == ["label!=keep", "until=24h"]
    assert prune_filters({}, ["label=x"]) == ["label=x"]


def test_all_credentials_are_the_file_s_and_the_helpers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-box"
    secret = json.dumps({"Username": "me", "Secret": "s"})
    names = json.dumps({"https://index.docker.io/v1/": "me", "kept.example": "me"})
    helper.write_text(f"#!/bin/sh\n[ $1 = list ] && echo '{names}' || echo '{secret}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = all_credentials({"credsStore": "box", "auths": {"old.example": {}}})
    assert sorted(found) == ["https://index.docker.io/v1/", "kept.example", "old.example"]
    assert found["kept.example"]["password"] == "s"
