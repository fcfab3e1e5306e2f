"""Images as files: ``docker save``, ``load`` and ``import``.

The problem: an archive is one tar that two families of tools read differently. Docker's
``manifest.json`` lists configs and layers by their paths in the tar; an OCI layout's
``index.json`` lists manifests by digest. dockerd 25 and later writes both over the same blobs, and
so do we, so that dockerd, podman and skopeo read what we write.

The model: *save* copies blobs as they are, so that every digest survives. *load* reads the stream
once, in whatever order it comes: each file goes into the content store under its digest, and only
an index of names stays in memory; names are looked up in that index, never in a file system, so
a name like ``../../etc/passwd`` is merely one that is not there. *import* makes one layer of a tar.

Read ``save.py``, ``members.py`` (the index), ``load.py``, ``import_tar.py``, ``changes.py``.

Docker's counterpart: moby ``image/tarexport``, containerd ``images/archive``.
"""
