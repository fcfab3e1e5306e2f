"""SIGKILL of the engine while volumes are made, filled, used and removed: none half there."""

from pathlib import Path

from support.engine import EngineUnderTest
from support.killing import Attempt, KillLoop, Operation
from support.plugin_process import PluginProcess
from support.waiting import eventually

KILLS = 50  # volumes' share of the two hundred
KILLS_IN_USE = 18


def create(attempt: Attempt) -> None:
    attempt.client.post("/volumes/create", {"Name": attempt.name, "Labels": {"of": "the loop"}})


def remove(attempt: Attempt) -> None:
    attempt.client.delete(f"/volumes/{attempt.name}")


def fill_for_removal(attempt: Attempt) -> None:
    create(attempt)
    data = _data(attempt)
    for number in range(20):
        (data / f"file{number}").write_text("data")


def whole_or_gone(attempt: Attempt) -> None:
    """A volume that the list has is whole: all of its data, or none of the volume."""
    for volume in attempt.client.get("/volumes")["Volumes"]:
        if volume["Name"] == attempt.name:
            assert len(list(Path(volume["Mountpoint"]).iterdir())) == 20


def create_with_content(attempt: Attempt) -> None:
    """Make a container whose new volume gets what the image has in /var."""
    body = {"Image": "busybox", "HostConfig": {"Binds": [f"{attempt.name}:/var"]}}
    attempt.client.post("/containers/create", body, name=attempt.name)


def filled_or_empty(attempt: Attempt) -> None:
    for volume in attempt.client.get("/volumes")["Volumes"]:
        if volume["Name"] == attempt.name:
            found = [path.name for path in Path(volume["Mountpoint"]).iterdir()]
            assert found in ([], ["www"])


def _data(attempt: Attempt) -> Path:
    return Path(attempt.client.get(f"/volumes/{attempt.name}")["Mountpoint"])


def test_volumes_are_whole_or_gone(killable_engine: EngineUnderTest) -> None:
    KillLoop(killable_engine, seed=51).run(
        (
            Operation("create", act=create),
            Operation("rm", prepare=fill_for_removal, act=remove, check=whole_or_gone),
            Operation("fill", act=create_with_content, check=filled_or_empty),
        ),
        kills=KILLS,
    )


def use(attempt: Attempt, driver: str = "local", **options: str) -> None:
    """Make a volume, use it in a container, and remove both."""
    client, name = attempt.client, attempt.name
    client.post("/volumes/create", {"Name": name, "Driver": driver, "DriverOpts": options})
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL",
            "HostConfig": {"Binds": [f"{name}:/data"]}}  # fmt: skip
    client.post("/containers/create", body, name=name)
    client.post(f"/containers/{name}/start")
    client.delete(f"/containers/{name}", force=True)
    client.delete(f"/volumes/{name}")


def use_limited(attempt: Attempt) -> None:
    use(attempt, size="2m")


def use_leased(attempt: Attempt) -> None:
    use(attempt, access="single-writer")


def use_plugged(attempt: Attempt) -> None:
    use(attempt, driver="shelf")


def name_plugged(attempt: Attempt) -> None:
    """Have the engine know what its plugin has, which an engine that was killed may have asked for.

    The loop then removes it, as it does with all that the engine lists.
    """
    attempt.client.post("/volumes/create", {"Name": attempt.name, "Driver": "shelf"})


def test_volumes_in_use_leave_no_disk_lease_or_mount(killable_engine: EngineUnderTest) -> None:
    """What a limited, a leased and a plugin's volume have beside their directory goes with them."""
    shelf = PluginProcess(killable_engine, "support.volume_plugin", "shelf")
    try:
        KillLoop(killable_engine, seed=52).run(
            (
                Operation("size", act=use_limited),
                Operation("lease", act=use_leased),
                Operation("plugin", act=use_plugged, restore=name_plugged),
            ),
            kills=KILLS_IN_USE,
        )
        eventually(lambda: shelf.state == {})
    finally:
        shelf.kill()
    disks = Path("/sys/block").glob("loop*/loop/backing_file")
    assert not [d for d in disks if str(killable_engine.directory) in d.read_text()]
