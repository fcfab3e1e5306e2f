"""What goes on in a container that runs, and its end: execs, health checks, exits, restarts.

The shims tell, also what happened while no engine listened; ``exits.py`` takes it into account.
``endings.py`` decides why a container ended, ``restarts.py`` what its policy asks of the shim,
``resuming.py`` starts what no shim is there to start. ``execs.py`` and ``healthchecks.py`` run
processes beside PID 1, which ``processes.py`` decides.

Docker's counterpart: moby ``daemon/monitor.go``, ``exec.go``, ``health.go``, ``restartmanager``.
"""
