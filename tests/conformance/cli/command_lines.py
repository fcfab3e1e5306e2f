"""The command lines that both clients are given: ``lines/*.txt``, one a line.

A scenario is played whole by one client, then by the other. ``$DIR`` is an empty directory. A line
that begins with ``!`` prints what no two runs share (sizes, percentages): digits are not compared.
"""

from pathlib import Path

# These change nothing: both clients look at what ``prepared`` made.
READING = ("lists", "inspected")
# These begin with nothing but the busybox image.
CHANGING = ("life", "images", "networks", "system")


def lines_of(scenario: str) -> list[str]:
    """Return a scenario's command lines in order."""
    path = Path(__file__).parent / "lines" / f"{scenario}.txt"
    return [line for line in path.read_text().splitlines() if line]
