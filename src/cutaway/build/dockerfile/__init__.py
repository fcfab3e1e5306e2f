"""A Dockerfile's text to a graph and image configurations: everything about the language. Pure.

Read ``lines.py`` (text to nodes), ``parser.py`` and ``instructions.py`` (nodes to typed
instructions), ``expand.py`` and ``environment.py`` (variables), ``stages.py`` (which stages a
target needs), ``frontend.py`` (the meaning), with ``copies.py``, ``run_mounts.py`` and
``settings.py`` for its longer chapters. ``dockerignore.py`` is a small language of its own.

Docker's counterpart: BuildKit ``frontend/dockerfile``, moby ``builder/dockerfile``.
"""
