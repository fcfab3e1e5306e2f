"""What networks need a living process for: names, and ports on the host's loopback.

The problem: a container on a user's network asks 127.0.0.11 for names, and somebody must answer,
also while the engine is down. And a connection from the host to ``127.0.0.1:8080`` can't be
translated by the kernel: a packet from a loopback address never leaves by a bridge, unless
``route_localnet`` opens the host's own loopback services to every container.

The model: one small process for all containers (``cutaway: network``), started by the engine and
living on without it. The engine makes the sockets, in the namespaces they belong to, and passes
them along: listening sockets of the published ports, name server sockets of each sandbox. What
only the process knows it was told (``protocol.py``); a new engine asks what it has and tells it the
rest.

Words: *relay* (a connection or datagram carried between two sockets), *upstream* (the name servers
asked for what no container is called), *records* (names and addresses of the endpoints).

Read ``protocol.py``, ``records.py`` (pure: who is called how), ``answers.py`` (pure: from question
to answer), ``nameserver.py``, ``upstream.py``, ``tcp.py``, ``udp.py``, ``process.py``; then the
engine's side, ``client.py``.

Docker's counterparts: ``docker-proxy``, a process for each port, and the resolver inside dockerd,
which stops answering when dockerd stops.
"""
