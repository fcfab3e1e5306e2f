"""SIGKILL of the engine while volumes are made, filled, used and removed: none half there."""

from pathlib import Path

from support.engine import EngineUnderTest
from support.killing import Attempt, KillLoop, Operation

KILLS = 50  # volumes' share of the two hundred


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
