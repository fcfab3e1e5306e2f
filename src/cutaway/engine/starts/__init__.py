"""A container's start: everything looked up, decided, and handed to its shim; or shown as a plan.

``starting.py`` is the use case and undoes what it did when it fails. ``intents.py`` looks up what
the spec must know (``devices.py``), ``steps.py`` has the engine's own changes of the host.
``cgroup_parents.py`` takes away what only a ``--cgroup-parent`` called for. ``planning.py`` is the
same without doing it (``cutaway plan``; ``script.py`` makes a shell script of it), and what was
done (``cutaway story``).

Docker's counterpart: moby ``daemon/start.go``.
"""
