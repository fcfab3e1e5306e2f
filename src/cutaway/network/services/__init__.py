"""The engine's side of the userland process: what it is to serve, and how it is told.

``plans.py`` decides what is served for a sandbox, ``steps.py`` tells it, ``keeper.py`` keeps the
process running. The process itself is ``cutaway.network.userland``.
"""
