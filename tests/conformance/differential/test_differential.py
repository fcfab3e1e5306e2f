"""The same call to dockerd 28.5 and to cutaway: the same answer, or a reason why not."""

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conformance.differential.calls import SCENARIOS
from conformance.differential.engines import Difference, Reason, Recording, compare, play
from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.peer import Dockerd

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]

BIP = "--bip=172.29.0.1/16"
REASONS = tuple(
    Reason(**entry)
    for entry in tomllib.loads(Path(__file__).with_name("differences.toml").read_text())[
        "difference"
    ]
)


@pytest.fixture(scope="module")
def differences(archives: Path) -> dict[str, list[Difference]]:
    """Every difference of every scenario; both engines play at once, each in its own host."""
    archive = busybox_archive(archives)

    def record(engine: EngineUnderTest) -> dict[str, Recording]:
        try:
            engine.start()
            engine.docker("load", "-q", "-i", str(archive))
            return {
                name: play(engine.socket, str(engine.directory), calls)
                for name, calls in SCENARIOS.items()
            }
        finally:
            engine.close()

    with ThreadPoolExecutor(2) as threads:
        theirs, ours = threads.map(record, (Dockerd(), EngineUnderTest(BIP)))
    return {name: compare(theirs[name], ours[name]) for name in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_difference_has_a_reason(
    scenario: str, differences: dict[str, list[Difference]]
) -> None:
    unexplained = [
        str(difference)
        for difference in differences[scenario]
        if not any(reason.covers(difference) for reason in REASONS)
    ]
    assert unexplained == []


def test_every_reason_covers_a_difference(differences: dict[str, list[Difference]]) -> None:
    found = [difference for scenario in differences.values() for difference in scenario]
    stale = [r for r in REASONS if not any(r.covers(difference) for difference in found)]
    assert stale == []


def test_no_answer_of_ours_is_an_internal_error_where_dockerd_has_none(
    differences: dict[str, list[Difference]],
) -> None:
    found = [difference for scenario in differences.values() for difference in scenario]
    worse = [
        str(difference)
        for difference in found
        if difference.place == "status"
        and str(difference.ours).startswith("500")
        and not str(difference.theirs).startswith(("500", "404"))
    ]
    assert worse == []
