"""Builds side by side with dockerd 28.5: 40 cached steps, 30 commands, a COPY of 500 MB.

    .venv/bin/python bench/build.py [RUNS]

Ours are built by docker's classic client; dockerd's by its default, BuildKit, and by its classic
builder. Runs are interleaved; every run of a COPY has a context that no engine has seen. Prints the
median of each and the ratios. Needs root, Debian's mirror, and no other load.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.peer import Dockerd, unpack

FILES = 10
FILE_BYTES = 50_000_000
CACHED = "FROM busybox\n" + "".join(f"RUN echo {n} > /f{n}\n" for n in range(40))
# Each its own: of equal commands on equal files ours does one.
COMMANDS = "FROM busybox\nARG RUN\n" + "".join(f"RUN true {n}\n" for n in range(30))
COPY = "FROM busybox\nCOPY data /data\n"

Build = Callable[[Path, str], float]


class Builder:
    """One builder of one engine, as its user has it.

    Args:
        engine: that builds.
        title: for the table.
        kit: docker's ``DOCKER_BUILDKIT``.
    """

    def __init__(self, engine: EngineUnderTest, title: str, kit: str) -> None:
        self.engine = engine
        self.title = title
        self._environment = {**engine.environment(), "DOCKER_BUILDKIT": kit}

    def seconds(self, context: Path, run: str) -> float:
        """Return how long a build takes."""
        words = ("docker", "build", "-q", "--build-arg", f"RUN={run}", str(context))
        start = time.perf_counter()
        self.engine.host.run(*words, env=self._environment, timeout=600)
        return time.perf_counter() - start


def add_buildx(engine: EngineUnderTest) -> None:
    """Give the docker command the plugin without which it can't speak to BuildKit."""
    plugins = engine.directory / ".docker" / "cli-plugins"
    plugins.mkdir(parents=True)
    unpacked = unpack("docker-buildx") / "usr/libexec/docker/cli-plugins"
    (plugins / "docker-buildx").symlink_to(unpacked / "docker-buildx")


def fill(directory: Path) -> None:
    """Write 500 MB: half of each file is noise, half is text."""
    directory.mkdir(exist_ok=True)
    text = b"a line of a file that is neither very short nor very long\n" * 1000
    for number in range(FILES):
        with open(directory / f"file{number}", "wb") as file:
            file.write(os.urandom(FILE_BYTES // 2))
            while file.tell() < FILE_BYTES:
                file.write(text[: FILE_BYTES - file.tell()])


def change(directory: Path) -> None:
    """Make every file new by its first bytes."""
    for number in range(FILES):
        with open(directory / f"file{number}", "r+b") as file:
            file.write(os.urandom(64))


def measure(builders: list[Builder], title: str, dockerfile: str, runs: int) -> None:
    """Measure one Dockerfile by every builder in turn, and print its row."""
    with TemporaryDirectory() as place:
        context = Path(place)
        (context / "Dockerfile").write_text(dockerfile)
        if dockerfile is COPY:
            fill(context / "data")
        times: dict[str, list[float]] = {builder.title: [] for builder in builders}
        for run in range(runs + 1):  # the first fills the cache, and is not counted
            for builder in builders:
                if dockerfile is COPY:
                    change(context / "data")
                taken = builder.seconds(context, f"{builder.title}-{run}")
                if run:
                    times[builder.title].append(taken)
    medians = [statistics.median(times[builder.title]) for builder in builders]
    ratios = [f"{theirs / medians[0]:.1f}" for theirs in medians[1:]]
    cells = [f"{seconds * 1000:.0f} ms" for seconds in medians]
    print(f"| {' | '.join([title, *cells, *ratios])} |", flush=True)


def main() -> None:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ours, theirs = EngineUnderTest().start(), Dockerd().start()
    try:
        with TemporaryDirectory() as directory:
            archive = busybox_archive(Path(directory))
            for engine in (ours, theirs):
                engine.docker("load", "-q", "-i", str(archive))
        add_buildx(theirs)
        builders = [
            Builder(ours, "cutaway", "0"),
            Builder(theirs, "BuildKit", "1"),
            Builder(theirs, "classic", "0"),
        ]
        print(f"load at the start {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs, {runs} runs\n")
        titles = " | ".join(builder.title for builder in builders)
        print(f"| build | {titles} | ratio to BuildKit | to classic |\n|{'---|' * 6}")
        measure(builders, "40 cached steps", CACHED, runs)
        measure(builders, "30 `RUN true`", COMMANDS, max(1, runs // 2))
        measure(builders, "`COPY` of 500 MB", COPY, runs)
    finally:
        ours.close()
        theirs.close()


if __name__ == "__main__":
    main()
