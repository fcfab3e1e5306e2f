"""Volumes and mounts in this engine: what containers ask of the host's directories.

``service.py`` has the use cases of ``docker volume``; ``mounting.py`` turns a container's request
into mount points and makes them ready at its start; ``filling.py`` gives a new volume what the
image has in its place; ``live.py`` changes the mounts of a container that runs; ``copies.py``
exports, imports and clones; ``own.py`` has the use cases that Docker has not. What a volume is,
``cutaway.volumes`` knows.

Docker's counterpart: moby ``daemon/volumes.go``, ``daemon/mounts.go``, ``volume/service``.
"""
