"""The same command line to docker's client and to ours, on one engine: the same answer.

What may differ is in ``differences.toml``, each entry with its reason; one that covers nothing
fails.
"""

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conformance.cli.clients import Reason, compare, play
from conformance.cli.command_lines import CHANGING, READING, lines_of
from support.engine import EngineUnderTest
from support.images import busybox_archive

pytestmark = pytest.mark.timeout(300)

REASONS = tuple(
    Reason(**entry)
    for entry in tomllib.loads(Path(__file__).with_name("differences.toml").read_text())[
        "difference"
    ]
)
Differences = dict[str, list[tuple[str, str, str, str]]]


@pytest.fixture(scope="module")
def differences(module_engine: EngineUnderTest, archives: Path) -> Differences:
    """Every difference of every scenario."""
    engine = module_engine
    directory = engine.directory / "clients"
    directory.mkdir()
    found: Differences = {}
    play(engine, "docker", lines_of("prepared"), directory)
    for scenario in READING:
        with ThreadPoolExecutor(2) as threads:
            plays = threads.map(
                lambda program: play(engine, program, lines_of(scenario), directory),  # noqa: B023
                ("docker", "cutaway"),
            )
            found[scenario] = compare(*plays)
    for scenario in CHANGING:
        one_by_one = []
        for program in ("docker", "cutaway"):
            _clear(engine)
            engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
            one_by_one.append(play(engine, program, lines_of(scenario), directory))
        found[scenario] = compare(*one_by_one)
    return found


def _clear(engine: EngineUnderTest) -> None:
    """Take everything away."""
    engine.remove_containers()
    engine.docker("system", "prune", "-af", "--volumes")
    engine.docker("volume", "prune", "-af")


@pytest.mark.parametrize("scenario", [*READING, *CHANGING])
def test_every_difference_has_a_reason(scenario: str, differences: Differences) -> None:
    unexplained = [
        f"{line}\n  {place}: docker says {theirs!r}\n  cutaway says {ours!r}"
        for line, place, theirs, ours in differences[scenario]
        if not any(reason.covers(line, place, ours) for reason in REASONS)
    ]
    assert not unexplained, "\n".join(unexplained)


def test_every_reason_covers_a_difference(differences: Differences) -> None:
    found = [entry for entries in differences.values() for entry in entries]
    stale = [r for r in REASONS if not any(r.covers(e[0], e[1], e[3]) for e in found)]
    assert stale == []
