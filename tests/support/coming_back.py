"""How long an engine takes to come back."""

import time

from support.engine import EngineUnderTest

COMES_BACK_WITHIN_S = 3.0


def start_again(engine: EngineUnderTest) -> None:
    """Start an engine that was killed, and require that it answers in time."""
    started = time.monotonic()
    engine.start()
    taken_s = time.monotonic() - started
    assert taken_s < COMES_BACK_WITHIN_S, f"it answered after {taken_s:.1f} s"
