"""Networks and addresses made by plugins: libnetwork's JSON protocol.

The problem: another program makes the wire (``NetworkDriver``) or hands out the addresses
(``IpamDriver``). It may answer late, wrongly or never, and it remembers what it was asked for: what
the engine forgets to give back is lost for good.

The model: every *call* is a value. A plugin is asked by a step, outside all locks, and its answer
is checked before anybody believes it. What would take a call back is written down before the call
is made, as a *release*; the record of the network or endpoint that the call was for replaces it in
one transaction. So at any moment, however the engine dies, either a record or a release knows what
a plugin holds, and releases are carried out until the plugin has heard them.

Words: *offer* (what plugins gave for an endpoint to be), *address space* (plugins may have several,
in which addresses repeat), *pool id* (what an IPAM plugin calls a subnet).

What only a swarm's nodes say is never said, as by a dockerd outside a swarm: ``AllocateNetwork``
and ``FreeNetwork`` (a manager reserves a network of global scope for all nodes; here
``CreateNetwork`` is told at once), ``DiscoverNew`` and ``DiscoverDelete`` (an agent tells drivers
of global scope of the nodes that its gossip hears of, itself included; without an agent, of none).

Read ``messages.py``, ``calls.py``, ``answers.py``, ``asking.py``, ``releases.py``; who asks is in
``drivers/remote.py`` and ``ipams/remote.py``, the order of it all in ``controller/plugged.py``.

Docker's counterpart: libnetwork's ``drivers/remote`` and ``ipams/remote``.
"""
