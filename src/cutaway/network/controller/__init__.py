"""The controller, by what it does.

``parts.py`` (what it works with), ``networks.py``, ``sandboxes.py``, ``live.py`` (changes while a
container runs), ``controller.py`` (start, end, upkeep: all of it together).
"""

from cutaway.network.controller.controller import Controller

__all__ = ["Controller"]
