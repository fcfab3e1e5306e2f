"""Leases: one writer at a time on storage that several containers, engines or hosts can reach.

The problem: two databases on one directory destroy it, and nothing stops them: each host's engine
knows its own containers only. A lock of the kernel doesn't help either: flock(2) and fcntl(2) mean
nothing, or not enough, between the clients of a file server, and die with nobody.

The model: who writes holds a *lease*, a file in the shared directory itself, where everybody who
could do harm must see it. Its number, the *epoch*, grows with every holder and is never used again.
The file is renewed every few seconds by a *keeper*, a process beside engine and shim that lives as
long as the container. A lease that was not renewed in time has *expired*, and the next who asks
gets one of a higher epoch. A holder that could not renew, or sees a higher epoch, is *fenced*: its
processes are killed before anybody else may have begun to write, and what its restart policy starts
again has the volume read-only.

Time is told by the file system alone: both the last renewal and "now" are times that it gave to
files, so that clocks of hosts may differ as they like.

Words: *holder*, *epoch* (others say fencing token), *keeper*, *fence*.

Read ``lease.py`` (the file), ``keeper.py`` (the process), ``book.py`` (what the engine does).
docs/adr/016 says what this can't promise.

Docker's counterpart: none; ``sharing: onewriter`` of swarm's cluster volumes comes near.
"""
