"""The build cache on its way between machines: exported, imported, kept in a registry.

The problem: a cache saves work only where it was made. But a record says "this step, on this file
system, gives this layer", and whether that is true can't be seen from outside: only doing the step
again would tell. Whoever writes a cache can say of any step that its result is a back door.

So a record of another machine is a *claim*, and these are the rules:

1. A claim never becomes a record of this engine. It is kept under its *origin* (the reference or
   directory it came from), and hits only in a build that names that origin with ``--cache-from``.
2. What this engine did itself comes first: a claim is looked at only when there is no own record.
3. A claim's key is computed here from its parts, and its layer is taken only if the blob has the
   digest, and the unpacked archive the diff id, that it names. What does not fit is a miss.
4. A directory of ``RUN --mount=type=cache`` is imported only on request, and never over one that
   is here.

A cache is an OCI artifact: a manifest whose config is the list of claims and whose layers are the
steps' layers, each once. In a directory it is an OCI image layout.

Read ``document.py`` (what is said), ``layout.py`` (as a manifest and an archive), ``registry.py``,
``claims.py`` (what the solver asks).

Docker's counterpart: BuildKit ``cache/remotecache``.
"""
