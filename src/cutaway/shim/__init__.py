"""Launcher and shim: who owns a container, so that the engine need not.

The problem: a container must outlive its engine. Somebody has to hold its standard streams, be its
parent, keep its log and its exit status, and clean up behind it, while the engine crashes, is
upgraded, or is only slow. And a container must start in milliseconds, which a cold Python can't.

The model: the engine starts one *launcher*: tiny, single-threaded, with everything imported and
frozen. It forks a *shim* for each container, some ahead of time. The shim makes the sandbox, has
the container made (``runtime``), and then waits in one ``poll``: for the container's output, for
clients whose sockets it was handed, for the engine. What it must not lose it writes before it
tells. When nothing is left of its container it is free for another (``prepared.Prepared.renew``).

Words: *launch* (the request for a shim), *sandbox* (what lives as long as the shim: the network
namespace, the bundle), *run* (one life of PID 1; a restart is another run in the same sandbox),
*control* (the connection to the engine), *snapshot* (what a new engine is told first).

Read ``protocol.py`` (the table of messages), ``launcher.py``, ``shim.py``, ``run.py``, ``io/``,
``logs/``, ``restart.py``, ``health.py``; ``client.py`` is the engine's side.

Docker's counterpart: containerd's ``containerd-shim-runc-v2``, and its shim manager.
"""
