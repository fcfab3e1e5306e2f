"""How long to go on with something that keeps failing."""

import email.utils
import random
import time
from collections.abc import Callable

from cutaway.images.cancellation import Cancelled
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.registry.transport import TransportFailure

GIVE_UP_S = 60.0
_LAST_ATTEMPT_S = 45.0
_CANCEL_POLL_S = 0.1


class Patience:
    """Counts the failures in a row of one transfer, and waits between attempts.

    Progress starts the count anew, so a large blob survives many dropped connections, while a
    server that always fails is given up within a minute.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        is_cancelled: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
        *,
        explain: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._settings = settings
        self._is_cancelled = is_cancelled
        self._clock = clock
        self._explain = explain
        self._failures = 0
        self._since = clock()

    def progressed(self) -> None:
        """Something new arrived."""
        self._failures = 0
        self._since = self._clock()

    @property
    def timeout_s(self) -> float:
        """How long the next attempt may stay silent, so that all end within a minute."""
        left = GIVE_UP_S - (self._clock() - self._since)
        stall = self._settings.stall_timeout_s
        return min(stall, max(1.0, left))

    def after_failure(self, error: Exception, retry_after: str = "") -> None:
        """Wait before the next attempt, or give up.

        Args:
            error: what happened; raised when patience is at its end.
            retry_after: the header's value, seconds or a date; the server knows best when.

        Raises:
            Cancelled: while waiting.
        """
        self._failures += 1
        delay = self._settings.backoff_s * 2 ** (self._failures - 1) * random.uniform(0.5, 1.0)
        asked = parse_retry_after(retry_after)
        if asked is not None:
            delay = asked
        elapsed = self._clock() - self._since
        if self._failures >= self._settings.max_attempts or elapsed + delay > _LAST_ATTEMPT_S:
            end = f"gave up after {self._failures} attempts in {elapsed:.0f} s"
            error.add_note(end)
            self._explain(end)
            if isinstance(error, TransportFailure):
                error.is_transient = False  # whoever catches it on the way must not try again
            raise error
        attempt = f"attempt {self._failures + 1} of {self._settings.max_attempts}"
        self._explain(f"{error}: {attempt} in {delay:.1f} s")
        self.wait(delay)

    def wait(self, seconds: float) -> None:
        """Sleep, but wake up for a cancellation.

        Raises:
            Cancelled: the caller gave up.
        """
        end = self._clock() + seconds
        while True:
            if self._is_cancelled():
                raise Cancelled
            left = end - self._clock()
            if left <= 0:
                return
            time.sleep(min(left, _CANCEL_POLL_S))


def parse_retry_after(value: str) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for; None if it says nothing usable."""
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())
