"""The engine about itself and its machine: version, info, disk usage, upkeep.

``service.py`` answers ``docker info``, ``version``, ``system df`` and ``events``; ``machine.py``
looks at the kernel once, ``disk_parts.py`` at the data root; ``upkeep.py`` is what is looked after
while nobody asks, ``reserve.py`` the room that a full disk leaves the engine.

Docker's counterpart: moby ``daemon/info.go``, ``daemon/disk_usage.go``.
"""
