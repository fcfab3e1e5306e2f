"""The daemon's settings: dockerd's flags and ``daemon.json``, read, compared and checked once.

``options.py`` is the table of all that dockerd knows and what becomes of each; ``directives.py``
reads flags and file and refuses what both say; ``settings.py`` is the typed result.

Docker's counterpart: moby ``daemon/config`` and ``cmd/dockerd``.
"""
