"""Builds in this engine: requests and contexts in, commands run as containers, the cache kept.

``service.py`` has the use cases, ``requests.py`` and ``context.py`` read what clients send,
``run.py`` runs commands, ``cache.py`` keeps the build cache, ``portable.py`` exports and imports
it, and ``cache_sources.py`` opens what ``--cache-from`` names. ``cutaway.build`` knows what a
build is.

Docker's counterpart: moby ``daemon/server/backend/build`` and ``builder``.
"""
