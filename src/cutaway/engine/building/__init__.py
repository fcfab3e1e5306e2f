"""Builds in this engine: requests and contexts in, commands run as containers, the cache kept.

``service.py`` has the use cases, ``context.py`` reads what clients send, ``run.py`` runs commands,
``cache.py`` keeps the build cache; ``portable.py`` exports and imports it, ``cache_sources.py``
opens what ``--cache-from`` names. What a build is, ``cutaway.build`` knows.

Docker's counterpart: moby ``daemon/server/backend/build`` and ``builder``.
"""
