"""Launcher and shim: who owns a container, so that the engine need not.

The problem: a container must outlive its engine. Somebody has to hold its standard streams, be its
parent, keep its log and its exit status, and clean up behind it, while the engine crashes, is
upgraded, or is only slow. And a container must start in milliseconds, which a cold Python can't.

The model: the engine starts one *launcher*: tiny, single-threaded, with everything imported and
frozen. Its *template* forks a *keeper* for each container, some ahead of time, and the keeper forks
the *shim*. The shim makes the sandbox, has the container made (``runtime``), and then waits in one
``poll``: for the container's output, for clients whose sockets it was handed, for the engine. What
it must not lose it writes before it tells. When nothing is left of its container it is free for
another (``prepared.Prepared.renew``). When its container has nothing to do it goes to *rest*: it
ends, and the keeper, a quarter of its size, forks another when something happens.

Words: *launch* (the request for a shim), *sandbox* (what lives as long as the shim: the network
namespace, the bundle), *run* (one life of PID 1; a restart is another run in the same sandbox),
*control* (the connection to the engine), *snapshot* (what a new engine is told first), *rest* and
*wake* (from one shim to the next of the same container, without a moment in which it is nobody's).

Read ``protocol.py`` (the table of messages), ``launcher.py``, ``serving.py``, ``shim.py``,
``run.py``, ``io/``, ``logs/``, ``restart.py``, ``health.py``, then ``keeper.py`` and ``rest.py``;
``client.py`` is the engine's side.

Docker's counterpart: containerd's ``containerd-shim-runc-v2``, and its shim manager.
"""
