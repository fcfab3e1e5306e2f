"""Many hosts on one machine, for tests and for learning: ``cutaway nodes 3``.

The problem: what happens between hosts (a port reached from the LAN, an attack by a neighbour,
later an overlay) can't be tried with one. Virtual machines are slow and heavy.

The model: a host is a network and a mount namespace, held open by a *keeper* process. The
*underlay* is one more namespace with a bridge in it, the wire; a veth pair joins each host to it.
Each host runs an engine of its own, with its own directories, cgroup parent and socket. When the
keepers end the kernel takes everything away.

Words: *keeper* (a process that only sleeps, so that its namespaces live), *underlay* (the wire that
hosts share), *node* (a host with its engine).

Read ``keeper.py``, ``underlay.py``, ``node.py``, ``__main__.py``.

Docker's counterpart: none; moby's own tests do the like in ``testutil/daemon``.
"""
