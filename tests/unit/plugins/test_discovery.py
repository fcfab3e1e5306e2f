"""Plugins are found where Docker finds them."""

import socket
from pathlib import Path

import pytest

from cutaway.plugins import PluginAddress, PluginDirectories, PluginFailed, PluginNotFound
from cutaway.plugins import find_plugin as find


@pytest.fixture
def directories(tmp_path: Path) -> PluginDirectories:
    made = PluginDirectories(str(tmp_path / "run"), (str(tmp_path / "etc"), str(tmp_path / "lib")))
    for directory in made.all:
        Path(directory).mkdir()
    return made


def listen(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def test_a_socket_by_its_name(directories: PluginDirectories) -> None:
    path = Path(directories.sockets, "nfs.sock")
    listen(path)
    assert find("nfs", directories) == PluginAddress(name="nfs", scheme="unix", place=str(path))


def test_a_socket_in_a_directory_of_its_name(directories: PluginDirectories) -> None:
    path = Path(directories.sockets, "nfs", "nfs.sock")
    listen(path)
    assert find("nfs", directories).place == str(path)


def test_a_file_that_is_no_socket_is_no_plugin(directories: PluginDirectories) -> None:
    Path(directories.sockets, "nfs.sock").write_text("")
    with pytest.raises(PluginNotFound, match='plugin "nfs" not found in '):
        find("nfs", directories)


@pytest.mark.parametrize(
    ("url", "scheme", "place"),
    [
        ("unix:///run/nfs.sock\n", "unix", "/run/nfs.sock"),
        ("tcp://localhost:8080", "tcp", "localhost:8080"),
        ("https://[::1]:443", "https", "[::1]:443"),
    ],
)
def test_a_spec_says_an_address(
    directories: PluginDirectories, url: str, scheme: str, place: str
) -> None:
    Path(directories.specs[1], "nfs.spec").write_text(url)
    assert find("nfs", directories) == PluginAddress(name="nfs", scheme=scheme, place=place)


def test_a_json_file_says_tls_too(directories: PluginDirectories) -> None:
    Path(directories.specs[0], "nfs.json").write_text(
        '{"Name": "nfs", "Addr": "https://storage:8443", "TLSConfig": {"InsecureSkipVerify": false,'
        ' "CAFile": "/ca.pem", "CertFile": "/cert.pem", "KeyFile": "/key.pem"}}'
    )
    assert find("nfs", directories) == PluginAddress(
        name="nfs",
        scheme="https",
        place="storage:8443",
        ca_file="/ca.pem",
        cert_file="/cert.pem",
        key_file="/key.pem",
    )


def test_a_socket_is_taken_before_a_spec(directories: PluginDirectories) -> None:
    Path(directories.specs[0], "nfs.spec").write_text("tcp://elsewhere:1")
    listen(Path(directories.sockets, "nfs.sock"))
    assert find("nfs", directories).scheme == "unix"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("nfs.spec", "localhost"),
        ("nfs.spec", "tcp://localhost"),
        ("nfs.spec", "ftp://localhost:1"),
        ("nfs.spec", "unix://"),
        ("nfs.spec", "tcp://localhost:port"),
        ("nfs.json", "{"),
        ("nfs.json", '{"Addr": 5}'),
        ("nfs.json", "[" * 60000),
        ("nfs.json", '{"Addr": "\xff"}'),
        ("nfs.json", "{}"),
    ],
)
def test_a_file_that_says_nothing_useful_is_named(
    directories: PluginDirectories, name: str, content: str
) -> None:
    path = Path(directories.specs[0], name)
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(PluginFailed, match=f'plugin "nfs": discovery: {path}') as caught:
        find("nfs", directories)
    assert caught.value.name == "nfs"


@pytest.mark.parametrize("name", ["", "../nfs", "a/b", ".hidden", "a\0b"])
def test_a_name_that_is_a_path_finds_nothing(directories: PluginDirectories, name: str) -> None:
    with pytest.raises(PluginNotFound):
        find(name, directories)
