"""No module is loaded once a process is on its way into a container.

After pivot_root(2) every import would be answered from the *image*, with the host's root
privileges: ``os.execvp`` alone imported ``warnings``. What the init needs is loaded before; then
the import system is taken apart, so that a forgotten import is an error and never a way in.
"""

import sys
from typing import NoReturn


class ImportSealed(ImportError):
    """An import was tried inside a container."""


class _Refuser:
    """A finder that answers every question with an error."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> NoReturn:
        """Refuse to look for ``name``."""
        raise ImportSealed(f"import of {name!r} inside a container is forbidden")


_TAKEN_AWAY: list[object] = []


def seal_imports() -> None:
    """Make every import of a module that is not loaded yet fail, in this process, for good."""
    sys.path.clear()
    sys.path_hooks.clear()
    # Kept, though of no use: freeing its objects would copy some 180 pages in a forked child.
    _TAKEN_AWAY.append(sys.path_importer_cache)
    sys.path_importer_cache = {}
    sys.meta_path[:] = [_Refuser]
