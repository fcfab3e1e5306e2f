"""A container's files from outside: ``docker cp``, ``diff``, ``export``, and layers of changes.

The problem: the tree belongs to the container, which may exchange any directory for a link while
it is being walked (CVE-2018-15664), which may have volumes whose mount points are links
(CVE-2026-42306), and whose programs and libraries must never be run from outside (CVE-2019-14271).

The model: a confined child (``tree_worker``) enters the tree and nothing else. Of a running
container it joins the mount namespace and takes a private copy of it; of a stopped one it mounts
the snapshot in a mount namespace of its own, volumes by descriptor. Then it seals itself as the
unpacking worker does, resolves paths by openat2(2) in the tree's root, and reads a tar from stdin
or writes one to stdout. For a build's COPY it holds two trees at once and needs no tar; for a
squash it holds only the layers' blobs.

Words: *tree* (how to get at a container's files), *bind* (a volume inside it), *archive* (the tar
that goes in or comes out).

Read ``tree.py`` (what the engine calls), ``enter.py`` (how the worker gets in), ``paths.py``,
``operations.py``, ``changes.py``; then ``copying.py`` with ``copy_sources.py`` and
``copy_operations.py``, ``linking.py`` (large files), and ``squash.py`` with ``merging.py``.
Workers: ``../worker_process.py`` (the parent's side), ``../worker_template.py`` (what they are
forked from).

Docker's counterpart: moby ``daemon/archive_unix.go``, ``daemon/changes.go``,
``daemon/containerfs_linux.go``.
"""
