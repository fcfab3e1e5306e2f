"""What to mount to see a snapshot: a value, handed to whoever mounts."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount(2) call without its target.

    Attributes:
        fstype: ``overlay``, or ``bind``.
        source: ``overlay``, or the directory to bind.
        options: in mount(8)'s words; for overlay all but ``ro`` are data.
        directory: relative paths in ``source`` and ``options`` start here: the mounting process
            changes to it first. None when all are absolute.
    """

    fstype: str
    source: str
    options: tuple[str, ...]
    directory: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the form kept in a bundle's ``rootfs.json``."""
        document: dict[str, Any] = {
            "fstype": self.fstype,
            "source": self.source,
            "options": list(self.options),
        }
        if self.directory is not None:
            document["directory"] = self.directory
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Mount":
        """Read what ``to_json`` wrote."""
        return cls(
            fstype=document["fstype"],
            source=document["source"],
            options=tuple(document["options"]),
            directory=document.get("directory"),
        )
