"""A graph of vertices to layers: each done at most once, with a cache keyed by content.

Read ``solver.py`` (when what is done), ``work.py`` (how one step is done), ``cache.py`` (what is
remembered), ``origins.py`` and ``fetch.py`` (what is copied from), ``executor.py`` (what commands
need of an engine), ``progress.py`` (what is told meanwhile).

Docker's counterpart: BuildKit ``solver`` and ``cache``.
"""
