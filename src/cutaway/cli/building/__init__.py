"""The client's half of a build: what is sent, lent and shown.

The problem: the engine can't see this machine's files, secrets and agents, and steps that run in
parallel must be readable.

The model: the context is packed as a tar while it is sent, without what .dockerignore names;
secrets and ssh agents are lent over a session and never sent as files of the context; the engine's
messages become lines that move on a terminal and are numbered elsewhere.

Read ``context.py``, ``lent.py``, ``display.py``, then ``cache.py``.

Docker's counterpart: docker/cli ``cli/command/image/build``; BuildKit's session and progress.
"""
