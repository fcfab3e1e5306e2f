"""A container in Docker's words, for people and programs that look at it. Nothing here changes any.

``inspection.py`` (``docker inspect``), ``listing.py`` (``docker ps`` and its filters),
``statistics.py`` (``docker stats``), ``top.py`` (``docker top``, read from outside).

Docker's counterpart: moby ``daemon/inspect.go``, ``list.go``, ``stats``, ``top_unix.go``.
"""
