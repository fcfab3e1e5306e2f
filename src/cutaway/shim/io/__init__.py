"""A process's input and output at the shim's end: pipes or a terminal, the log, attached clients.

The problem: what a container prints goes to its log and to any number of clients, each at its own
speed; what clients type goes to its stdin; and nothing may be lost, block the others or pile up in
memory, whether the engine lives or not.

The model: ``ProcessStreams`` holds the shim's ends of the process's pipes (or the pty master).
What it reads it gives to the log first, then to each ``Client``, which writes it to the client's
socket as stdcopy frames (or raw, from a terminal). A client that is slow has 1 MiB in memory,
then a file without a name on disk (``SpillFile``), and when that is full too the process waits
for it, as under dockerd; one that takes nothing at all for ten seconds is then let go.

Words: *client* (one attached connection), *detach keys*, *spill*.

Read ``detach.py``, ``spill.py``, ``client.py``, ``streams.py``.

Docker's counterpart: ``container/stream``, ``daemon/attach.go``, containerd-shim's copiers.
"""
