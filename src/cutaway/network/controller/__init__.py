"""The controller, by what it does.

``parts.py`` (what it works with), ``plugged.py`` (what plugins are asked, and when), ``replays.py``
(and again after a start), ``networks.py``, ``gateways.py`` (``docker_gwbridge``), ``sandboxes.py``,
``live.py`` (changes while a container runs), ``answers.py`` (who reaches what), ``repairs.py``
(what a death cut off), ``controller.py`` (start, end, upkeep: all of it together).
"""

from cutaway.network.controller.controller import Controller

__all__ = ["Controller"]
