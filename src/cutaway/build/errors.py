"""What can be wrong with a Dockerfile, told with the line, a caret and a suggestion."""

from dataclasses import dataclass
from difflib import get_close_matches

from cutaway.errors import InvalidParameter


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instruction stands.

    Attributes:
        line: the first line, counted from 1.
        last_line: the last line.
        text: the first line as it was written.
    """

    line: int
    last_line: int
    text: str


class DockerfileError(InvalidParameter):
    """An instruction that can't be understood or obeyed.

    Attributes:
        place: where; None when the file as a whole is meant.
        column: index in ``place.text`` that the caret points at.
    """

    def __init__(self, message: str, place: Place | None = None, column: int = 0) -> None:
        self.place = place
        self.column = column
        self.message = message
        super().__init__(self._text())

    def _text(self) -> str:
        if self.place is None:
            return f"dockerfile parse error: {self.message}"
        caret = " " * self.column + "^"
        return (
            f"dockerfile parse error on line {self.place.line}: {self.message}\n"
            f"{self.place.text}\n{caret}"
        )


class BuildError(InvalidParameter):
    """A step that failed; ``str`` is Docker's sentence.

    Attributes:
        code: the exit code of the command, or 0 when it is something else that failed.
    """

    def __init__(self, message: str, *, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


def suggestion(word: str, known: list[str]) -> str:
    """Return `` (did you mean COPY?)`` when a known word is close, else nothing."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
