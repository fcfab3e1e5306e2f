"""docker-py's integration suite: what dockerd passes passes; the exceptions only shrink."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conformance.docker_py.suite import SUITE, DockerPyRun, prepare

pytestmark = [
    pytest.mark.skipif(not SUITE.is_dir(), reason=f"needs docker-py's suite in {SUITE}"),
    pytest.mark.timeout(600),
    pytest.mark.long,
]

# Most tests sleep: three engines at once take the time of the longest share.
WITH_WEBSOCKETS = "api_container_test.py"
SHARES = (
    (WITH_WEBSOCKETS,),
    ("models_containers_test.py", "api_network_test.py", "api_build_test.py", "errors_test.py"),
    (
        *("api_exec_test.py", "api_healthcheck_test.py", "api_client_test.py", "client_test.py"),
        *("api_image_test.py", "api_volume_test.py", "models_images_test.py"),
        *("models_networks_test.py", "models_volumes_test.py", "models_resources_test.py"),
        "regression_test.py",
    ),
)
PASSED = ("passed", "xpassed")


def expected_failures() -> set[str]:
    text = (Path(__file__).parent / "expected_failures.txt").read_text()
    return {line.split()[0] for line in text.splitlines() if line and not line.startswith("#")}


def run_share(files: tuple[str, ...]) -> dict[str, str]:
    run = DockerPyRun(by_tcp=WITH_WEBSOCKETS in files)
    try:
        return run.outcomes(*files)
    finally:
        run.close()


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """What came of every test in the scope of an engine."""
    prepare()
    with ThreadPoolExecutor() as pool:
        merged: dict[str, str] = {}
        for share in pool.map(run_share, SHARES):
            merged |= share
    return merged


def test_what_dockerd_passes_passes_and_no_exception_is_out_of_date(
    outcomes: dict[str, str],
) -> None:
    failed = {test: o for test, o in outcomes.items() if o.partition(":")[0] not in PASSED}
    expected = expected_failures()
    worse = {test: why for test, why in failed.items() if test not in expected}
    better = expected - failed.keys()
    assert not worse, "\n".join(f"{test}\n    {why}" for test, why in worse.items())
    assert not better, f"these pass now: take them off expected_failures.txt: {better}"


def test_the_whole_scope_was_run(outcomes: dict[str, str]) -> None:
    assert len(outcomes) == 264
