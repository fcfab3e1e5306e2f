"""What may be done to a container, one use case a module: made, held, changed, read, removed.

``service.py`` finds the container that a request names and hands over. In the order of a life:
``creation.py`` (with ``names.py`` and ``defaults.py``), ``waiting.py``, ``stopping.py``,
``updating.py``, ``files.py``, ``committing.py``, ``removal.py`` and, after a killed shim,
``remains.py``. How one starts is in ``starts/``, what goes on while it runs in ``running/``.

Docker's counterpart: moby ``daemon/create.go``, ``stop.go``, ``update.go``, ``delete.go``.
"""
