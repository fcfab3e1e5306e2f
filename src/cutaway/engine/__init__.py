"""The engine: what a container is, from the request to the last byte of its exit.

The problem: a container outlives the request that made it, the client that watches it and the
engine that started it. Whoever comes next must find it as it is, and whatever was promised (a
name, an address, an exit status) must hold after any crash.

The model: a *container* in memory is a stored document (what was asked), a stored state (where it
is in its life) and a link to its shim (who owns it). Use cases are modules of plain coroutines
over one value, ``Core``, that holds the engine's parts; the *services* only find the container and
hand over. Events are stored in the transaction of the change they tell about. Nothing here forks,
mounts or configures: that is asked of the launcher, the shims, the network controller and the
snapshotter, in steps that a ledger keeps.

Words: *document* and *state*; *link* (the connection to a shim); *intent* (everything asked and
looked up for one start) and *spec* (what the runtime is told); *cleaned* (no shim of the container
is at work); *sweep* (removing what carries the id of no container); *story* (the ledger of a
start).

Read ``lifecycle.py`` (the states), ``container.py``, ``core.py``; then one container's life in
order: ``containers/creation.py``, ``spec/``, ``starts/starting.py``, ``links.py``,
``running/exits.py``, ``containers/waiting.py``, ``containers/removal.py``, ``reconcile.py``. What
must not be forgotten is ``store.py``; settings are in ``configuration/``.

Docker's counterpart: moby's ``daemon`` package.
"""
