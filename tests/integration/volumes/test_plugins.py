"""Volumes of a real plugin: a process that is asked as Docker asks; it hangs, lies and dies."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.plugin_process import PluginProcess, engine_with_plugins
from support.waiting import eventually, require_within


class Shelf(PluginProcess):
    """The plugin ``shelf``."""

    @property
    def volumes(self) -> dict[str, dict[str, Any]]:
        return self.state

    def users(self, name: str = "data") -> list[str]:
        return list(self.volumes[name]["users"])


@pytest.fixture(scope="module")
def plugged(archives: Path) -> Iterator[tuple[EngineUnderTest, Shelf]]:
    with engine_with_plugins() as engine:
        shelf = Shelf(engine, "support.volume_plugin", "shelf")
        try:
            engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
            yield engine, shelf
        finally:
            shelf.kill()


@pytest.fixture
def shelf(plugged: tuple[EngineUnderTest, Shelf]) -> Iterator[Shelf]:
    engine, shelf = plugged
    shelf.mood()
    yield shelf
    shelf.mood()
    engine.remove_containers()
    for name in engine.docker("volume", "ls", "-q").stdout.split():
        engine.docker("volume", "rm", name)
    assert shelf.volumes == {}


@pytest.fixture
def engine(plugged: tuple[EngineUnderTest, Shelf]) -> EngineUnderTest:
    return plugged[0]


def run(
    engine: EngineUnderTest, *words: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    return engine.docker("run", "--rm", "-v", "data:/data", *words, check=check)


def test_a_plugins_volume_from_create_to_rm(engine: EngineUnderTest, shelf: Shelf) -> None:
    engine.docker("volume", "create", "-d", "shelf", "-o", "depth=40cm", "--label", "a=b", "data")
    assert shelf.volumes["data"]["opts"] == {"depth": "40cm"}
    engine.docker("volume", "create", "-d", "shelf", "data")  # it is there
    words = ("busybox", "sh", "-c", "echo kept > /data/file")
    run(engine, *words)
    assert run(engine, "busybox", "cat", "/data/file").stdout == "kept\n"
    eventually(lambda: shelf.users() == [])
    engine.docker("run", "-d", "--name", "web", "-v", "data:/data", "busybox", "sleep", "1000")
    (mount,) = engine.client.get("/containers/web/json")["Mounts"]
    assert (mount["Name"], mount["Driver"]) == ("data", "shelf")
    told = engine.client.get("/volumes/data")
    assert (told["Scope"], told["Labels"]) == ("global", {"a": "b"})
    assert told["Mountpoint"] == f"{shelf.path}.data/data"
    assert len(told["Status"]["Users"]) == 1
    assert "shelf" in engine.client.get("/info")["Plugins"]["Volume"]
    listed = engine.docker("volume", "ls", "--filter", "driver=shelf", "--format", "{{.Name}}")
    assert listed.stdout == "data\n"
    conflict = engine.docker("volume", "create", "-d", "local", "data", check=False)
    assert "a volume with driver shelf has it already" in conflict.stderr
    engine.cutaway("volume", "export", "-o", str(engine.directory / "x.tar"), "data")
    engine.docker("rm", "-f", "web")
    engine.docker("volume", "rm", "data")
    assert shelf.volumes == {}


def test_a_stopped_containers_volume_is_copied_from(
    engine: EngineUnderTest, shelf: Shelf, tmp_path: Path
) -> None:
    words = ("--name", "web", "-v", "data:/data", "--volume-driver", "shelf")
    engine.docker("run", *words, "busybox", "sh", "-c", "echo kept > /data/file")
    eventually(lambda: shelf.users() == [])
    engine.docker("cp", "web:/data/file", str(tmp_path))
    assert (tmp_path / "file").read_text() == "kept\n"
    engine.docker("cp", str(tmp_path / "file"), "web:/data/back")
    assert (shelf.path.with_suffix(".data") / "data/back").read_text() == "kept\n"
    assert shelf.users() == []
    shelf.mood(mount="refuse")
    refused = engine.docker("cp", "web:/data/file", str(tmp_path), check=False)
    assert "error while mounting volume 'data'" in refused.stderr
    assert "no room" in refused.stderr


def test_anonymous_and_by_flag(engine: EngineUnderTest, shelf: Shelf) -> None:
    done = engine.docker(
        "run", "--rm", "--volume-driver", "shelf", "-v", "named:/n", "busybox", "df"
    )
    assert done.returncode == 0
    mount = "type=volume,dst=/x,volume-driver=shelf,volume-opt=depth=1"
    engine.docker("run", "--rm", "--mount", mount, "busybox", "touch", "/x/y")
    eventually(lambda: set(shelf.volumes) == {"named"})


def test_live_mounts_of_a_plugin(engine: EngineUnderTest, shelf: Shelf) -> None:
    engine.docker("volume", "create", "-d", "shelf", "data")
    engine.docker("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    engine.cutaway("mount", "add", "web", "data:/x")
    engine.docker("exec", "web", "touch", "/x/y")
    assert len(shelf.users()) == 1
    engine.cutaway("mount", "rm", "web", "/x")
    assert shelf.users() == []


@pytest.mark.parametrize(
    ("mood", "message"),
    [
        ({"mount": "refuse"}, "VolumeDriver.Mount: no room"),
        ({"mount": {"Mountpoint": "/not/here"}}, "at '/not/here', which is no directory here"),
        ({"mount": {"Mountpoint": "etc"}}, "at 'etc', which is no directory here"),
        ({"mount": {"Mountpoint": 5}}, "its answer does not fit"),
        ({"mount": {}}, "which is no directory here"),
        ({"mount": "die"}, "VolumeDriver.Mount: it answered no HTTP"),
    ],
)
def test_a_mount_that_a_plugin_spoils_leaves_nothing(
    engine: EngineUnderTest, shelf: Shelf, mood: dict[str, Any], message: str
) -> None:
    engine.docker("volume", "create", "-d", "shelf", "data")
    shelf.mood(**mood)
    refused = run(engine, "busybox", "true", check=False)
    assert refused.returncode == 125
    assert "error while mounting volume 'data'" in refused.stderr
    assert message in refused.stderr
    if mood["mount"] == "die":
        shelf.process.wait()
        shelf.start()
    shelf.mood()
    assert shelf.users() == []
    run(engine, "busybox", "true")


def test_a_volume_that_a_plugin_will_not_make_is_not_there(
    engine: EngineUnderTest, shelf: Shelf
) -> None:
    shelf.mood(create="refuse")
    refused = engine.docker("volume", "create", "-d", "shelf", "data", check=False)
    assert "create data: " in refused.stderr
    assert "VolumeDriver.Create: no room" in refused.stderr
    assert engine.docker("volume", "ls", "-q").stdout == ""
    shelf.mood()
    engine.docker("volume", "create", "-d", "shelf", "data")
    shelf.mood(remove="refuse")
    refused = engine.docker("volume", "rm", "data", check=False)
    assert "VolumeDriver.Remove: no room" in refused.stderr
    assert engine.docker("volume", "ls", "-q").stdout == "data\n"


def test_a_plugin_that_hangs_holds_up_nobody_else(engine: EngineUnderTest, shelf: Shelf) -> None:
    engine.docker("volume", "create", "-d", "shelf", "data")
    shelf.mood(mount="hang", list="hang")
    words = ["docker", "run", "-v", "data:/data", "busybox", "true"]
    hanging = [
        engine.host.popen(words, env=engine.environment(), stderr=subprocess.DEVNULL)
        for _ in range(10)
    ]
    eventually(shelf.path.with_suffix(".hanging").exists)
    assert engine.docker("run", "--rm", "-v", "other:/o", "busybox", "echo", "on").stdout == "on\n"
    assert engine.docker("ps", "-q").stdout == ""
    shelf.kill()
    shelf.start()
    shelf.mood()
    for process in hanging:
        assert process.wait(60) in (0, 125)


def test_a_list_does_not_wait_for_a_plugin_that_hangs(
    engine: EngineUnderTest, shelf: Shelf
) -> None:
    """What is known is listed soon, with a warning; what is not known is said with a caveat."""
    engine.docker("volume", "create", "-d", "shelf", "data")
    silent = 'plugin "shelf": VolumeDriver.List: it did not answer within 2 s'
    shelf.mood(list="hang")
    started = time.monotonic()
    listed = engine.cutaway("volume", "ls", "-q")
    require_within(20, started)  # a call may take 60 s
    assert listed.stdout == "data\n"
    assert listed.stderr == f"WARNING: {silent}\n"
    refused = engine.docker("volume", "rm", "other", check=False)
    assert f"get other: no such volume here; {silent}" in refused.stderr
    shelf.mood()
    shelf.kill()  # nobody listens any more
    listed = engine.cutaway("volume", "ls", "-q")
    assert listed.stdout == "data\n"
    assert 'plugin "shelf": VolumeDriver.List: nobody answers at ' in listed.stderr
    shelf.start()


def test_a_plugin_that_hangs_does_not_hold_up_the_engines_end(
    engine: EngineUnderTest, shelf: Shelf
) -> None:
    engine.docker("volume", "create", "-d", "shelf", "data")
    shelf.path.with_suffix(".hanging").unlink(missing_ok=True)
    shelf.mood(mount="hang")
    words = ["docker", "run", "--name", "late", "-v", "data:/data", "busybox", "true"]
    hanging = engine.host.popen(words, env=engine.environment(), stderr=subprocess.DEVNULL)
    eventually(shelf.path.with_suffix(".hanging").exists)
    assert engine.process is not None
    engine.process.send_signal(signal.SIGTERM)
    engine.process.wait(timeout=40)  # the plugin would have 60 s
    hanging.wait()
    shelf.kill()
    shelf.start()
    shelf.mood()
    engine.start()
    engine.docker("rm", "late")
    assert shelf.users() == []


def test_every_mount_is_given_back_over_deaths_of_the_engine(
    engine: EngineUnderTest, shelf: Shelf
) -> None:
    engine.docker("volume", "create", "-d", "shelf", "data")
    engine.docker("run", "-d", "--name", "web", "-v", "data:/data", "busybox", "sleep", "1000")
    web = engine.client.get("/containers/web/json")["Id"]
    engine.docker("run", "-d", "--name", "gone", "-v", "data:/data", "busybox", "sleep", "1000")
    pid = engine.client.get("/containers/gone/json")["State"]["Pid"]
    assert len(shelf.users()) == 2
    engine.kill()
    engine.host.run("kill", "-9", str(pid))
    eventually(lambda: engine.exit_records() != [])
    engine.start()
    eventually(lambda: shelf.users() == [web])
    shelf.kill()  # and the plugin is away when the last user goes
    engine.docker("rm", "-f", "web")
    engine.kill()
    shelf.start()
    assert shelf.users() == [web]
    engine.start()
    eventually(lambda: shelf.users() == [])
    shelf.mood(mount="hang")
    starting = engine.host.popen(
        ["docker", "start", "gone"], env=engine.environment(), stderr=subprocess.DEVNULL
    )
    notes = engine.data_root / "volumes/data/mounted"
    eventually(lambda: list(notes.glob("*")))
    engine.kill()
    starting.wait()
    shelf.mood()
    engine.start()
    eventually(lambda: list(notes.glob("*")) == [])
    assert shelf.users() == []
