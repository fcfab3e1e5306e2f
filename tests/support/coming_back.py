"""How long an engine takes to come back."""

import time

from support.engine import EngineUnderTest
from support.waiting import require_within

COMES_BACK_WITHIN_S = 3.0


def start_again(engine: EngineUnderTest) -> None:
    """Start an engine that was killed, and require that it answers in time."""
    started = time.monotonic()
    engine.start()
    require_within(COMES_BACK_WITHIN_S, started)
