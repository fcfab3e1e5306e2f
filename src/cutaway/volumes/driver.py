"""What the store asks of whoever makes volumes: the local driver, or a plugin's."""

from collections.abc import Collection
from typing import Protocol

from cutaway.steps import Ledger
from cutaway.volumes.volume import Volume


class VolumeDriver(Protocol):
    """Makes volumes' contents available to containers. Any thread; one call a volume at a time."""

    def needs_mount(self, volume: Volume) -> bool:
        """Say whether a volume is anything but a directory that is there."""

    def mount(self, volume: Volume, user: str, ledger: Ledger, *, is_again: bool) -> str:
        """Make it available to one more user, or tell one that has it (``is_again``) where it is.

        Returns:
            The host path to mount from.
        """

    def unmount(self, volume: Volume, user: str, *, is_last: bool, ledger: Ledger) -> None:
        """One user has gone; ``is_last``: there is none left."""

    def settle(self, volume: Volume, users: Collection[str], ledger: Ledger) -> None:
        """After a start of the engine: only these use it; give back what others had."""
