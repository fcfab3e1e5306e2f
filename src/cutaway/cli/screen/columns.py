"""How wide a terminal is."""

import os

_USUAL = 80


def terminal_columns(fd: int) -> int:
    """Return a terminal's width; 80 for what is none, or says 0 as a serial line does."""
    try:
        return os.get_terminal_size(fd).columns or _USUAL
    except OSError:
        return _USUAL
