"""The line that moves while work takes long: what it says at each width."""

import pytest

from cutaway.cli.screen.moving_line import MovingLine
from cutaway.cli.screen.progress import progress_bar


def after(line: MovingLine, *sizes: int) -> MovingLine:
    for _ in line.counted(b"x" * size for size in sizes):
        pass
    return line


@pytest.mark.parametrize(
    ("line", "columns", "text"),
    [
        (MovingLine("Committing web"), 80, "Committing web  |  3s"),
        (after(MovingLine("Saving busybox"), 1500, 500), 80, "Saving busybox  2kB  3s"),
        (
            after(MovingLine("Sending", total_bytes=4000), 2000),
            60,
            "Sending  [=============>            ]  2kB/4kB  3s",
        ),
        (after(MovingLine("Sending", total_bytes=4000), 2000), 30, "Sending  2kB/4kB  3s"),
        (after(MovingLine("Sending", total_bytes=10), 2000), 80, "Sending  2kB  3s"),
        (MovingLine("Committing a-container-with-a-long-name"), 20, "Committing …  |  3s"),
    ],
)
def test_the_line_fits_the_terminal(line, columns, text):
    assert line.text(columns=columns, elapsed_s=3.4) == text


@pytest.mark.parametrize(
    ("columns", "bar"),
    [
        (120, f"[{('=' * 25 + '>').ljust(50)}]  5B/10B"),
        (40, f"[{('=' * 10 + '>').ljust(20)}]  5B/10B"),
        (25, "5B/10B"),
    ],
)
def test_a_bar_is_as_long_as_there_is_room(columns, bar):
    assert progress_bar(5, 10, columns=columns) == bar
