"""What a container prints: where it is kept, and how a client gets it, live or from the past.

``attaching.py`` hands the client's socket to the shim and reads the past; ``logs.py`` turns
``LogConfig`` into the shim's settings, ``log_sinks.py`` those of log daemons, ``log_settings.py``
tells where one container's output is.

Docker's counterpart: moby ``daemon/attach.go``, ``logs.go``, ``daemon/logger``.
"""
