"""Play command lines with one of the two clients, and make two plays comparable."""

import re
import shlex
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from support.engine import EngineUnderTest

API_VERSION = "1.50"  # of docker 28.2, the oldest client that the tests meet


@dataclass(frozen=True)
class Said:
    """What one command line gave, normalised."""

    line: str
    code: str
    stdout: str
    stderr: str


def play(
    engine: EngineUnderTest, program: str, lines: Iterable[str], directory: Path
) -> list[Said]:
    """Run the lines with one client; its home and files are its own."""
    home = directory / program
    home.mkdir(exist_ok=True)
    environment = {
        **engine.environment(),
        "HOME": str(home),
        "DOCKER_API_VERSION": API_VERSION,
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    command = ("docker",) if program == "docker" else engine.our_command
    names = Names(str(home), str(engine.directory))
    said = []
    for line in lines:
        words = shlex.split(line.lstrip("!").replace("$DIR", str(home)))
        done = engine.host.run(
            *command, *words,
            check=False, env=environment, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        texts = [names.normalised(text, volatile=line[0] == "!")
                 for text in (done.stdout, done.stderr)]  # fmt: skip
        said.append(Said(line, str(done.returncode), *texts))
    return said


_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+0000 UTC|[+-]\d\d:\d\d)?"
    r"|(Less than a|About an?|\d+) (second|minute|hour|day|week|month|year)s?( ago)?"
)


class Names:
    """Gives every id, time and path of a play the same name in the other's."""

    def __init__(self, home: str, directory: str) -> None:
        self._paths = {home: "$DIR", directory: "$ENGINE"}
        self._ids: list[str] = []

    def normalised(self, text: str, *, volatile: bool) -> str:
        """Return text without what no two plays share."""
        for path, name in self._paths.items():
            text = text.replace(path, name)
        text = text.replace("cutaway", "docker").replace("Cutaway", "Docker")
        text = _TIME.sub("<time>", text)
        # docker's client also logs some of what it then says; nobody should parse that.
        text = re.sub(r'time="<time>" level=error msg=.*\n', "", text)
        text = re.sub(r"0xc000[0-9a-f]+", "<address>", text)
        text = re.sub(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", self._id, text)
        text = re.sub(r"(?<![0-9a-f])[0-9a-f]{12}(?![0-9a-f])", self._id, text)
        text = re.sub(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", "<mac>", text)
        text = re.sub(r'"Pid": ?\d+', '"Pid": <pid>', text)
        text = re.sub(r" +(?=\n|$)| {2,}", "  ", text) if "<" in text else text
        return re.sub(r"[\d.]+", "N", text) if volatile else text

    def _id(self, match: re.Match[str]) -> str:
        found = match[0]
        for index, known in enumerate(self._ids):
            if known.startswith(found[:12]):
                return f"<id{index}>"
        self._ids.append(found)
        return f"<id{len(self._ids) - 1}>"


@dataclass(frozen=True)
class Reason:
    """One entry of differences.toml: which differences it covers, and why they are right.

    Attributes:
        line: a shell pattern for the command line; ``[`` is taken literally.
        place: ``code``, ``stdout`` or ``stderr``; any by default.
        ours: a shell pattern for what we say; any by default.
    """

    line: str
    reason: str
    place: str = "*"
    ours: str = "*"

    def covers(self, line: str, place: str, ours: str) -> bool:
        """Tell whether this entry explains the difference."""
        return (
            fnmatchcase(line, self.line.replace("[", "[[]"))
            and fnmatchcase(place, self.place)
            and fnmatchcase(ours, self.ours.replace("[", "[[]"))
        )


def compare(theirs: list[Said], ours: list[Said]) -> list[tuple[str, str, str, str]]:
    """Return (line, place, what docker says, what we say) wherever the two differ."""
    return [
        (their.line, place, getattr(their, place), getattr(our, place))
        for their, our in zip(theirs, ours, strict=True)
        for place in ("code", "stdout", "stderr")
        if getattr(their, place) != getattr(our, place)
    ]
