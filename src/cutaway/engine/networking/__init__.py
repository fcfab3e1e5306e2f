"""Networks in this engine: Docker's requests to the controller, its answers in Docker's words.

``service.py`` has the use cases of ``docker network``, ``own.py`` those that Docker has not;
``endpoints.py`` is a container's part in its networks, ``publishing.py`` its ports while it runs,
``legacy_links.py`` ``--link``; ``recovery.py`` makes documents and records agree after a crash.
What a network is, ``cutaway.network`` knows.

Docker's counterpart: moby ``daemon/network.go``, ``daemon/container_operations.go``.
"""
