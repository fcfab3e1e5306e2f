"""What can be wrong with a Dockerfile: told with file, line, the line itself, a caret, a hint."""

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
        file: the Dockerfile's name.
    """

    line: int
    last_line: int
    text: str
    file: str = "Dockerfile"

    def show(self, column: int = 0) -> str:
        """Return ``FILE:LINE``, the line, and a caret under a column; each on its own line."""
        indent = "".join(c if c == "\t" else " " for c in self.text[:column])
        return f"{self.file}:{self.line}\n{self.text}\n{indent}^"


class DockerfileError(InvalidParameter):
    """An instruction that can't be understood or obeyed.

    Attributes:
        message: what is wrong, in one line.
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
        where = self.place.show(self.column)
        return f"dockerfile parse error on line {self.place.line}: {self.message}\n{where}"


class BuildError(InvalidParameter):
    """A step that failed; ``str`` is Docker's sentence, and where the step stands if that is news.

    Attributes:
        code: the exit code of the command, or 0 when it is something else that failed.
        place: where the step stands; None when it is told otherwise.
    """

    def __init__(self, message: str, *, code: int = 0, place: Place | None = None) -> None:
        super().__init__(f"{message}\n{place.show()}" if place else message)
        self.code = code
        self.place = place


def placed(error: Exception, place: Place | None) -> Exception:
    """Return an error of a step with the step's place added, unless it tells one already.

    A command's own failure keeps Docker's exact sentence, which clients match.
    """
    known = isinstance(error, DockerfileError) or (
        isinstance(error, BuildError) and (error.code or error.place)
    )
    if known or place is None or not isinstance(error, InvalidParameter):
        return error
    return BuildError(str(error), place=place)


def suggestion(word: str, known: list[str]) -> str:
    """Return `` (did you mean COPY?)`` when a known word is close, else nothing."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""
