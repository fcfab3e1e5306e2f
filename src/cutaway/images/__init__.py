"""Images: named, content-addressed, pulled, kept, unpacked and pushed.

The problem: an image comes from strangers over an unreliable wire, is shared by many containers,
and must be exactly what its digest says, also after a power cut.

The model: a *content store* keeps blobs by digest in an OCI image layout that other tools read in
place (``content.py``); the *image store* knows which manifests have names and what removing one
means (``store.py``); *layers* become directories, *snapshots* stack them (``layers``,
``snapshots``); a *registry client* fetches and sends blobs (``registry``), and ``pull.py`` and
``push.py`` tell it which. Archives, host images and ``docker cp`` trees have their own packages.

Words: *reference*, *descriptor*, *manifest*, *image config*, *diff id* and *chain id* are those
of ``cutaway.oci``; an *ingest* is a blob being written; a *lease* keeps blobs that no image names
yet from being collected; a *snapshot* is a stack of directories by chain id.

Read ``content.py``, ``index.py``, ``store.py``, ``removal.py``; then ``registry/__init__.py`` and
``pull.py``. Workers start as ``python -I -m cutaway.images.unpack_worker``, so this module imports
nothing.

Docker's counterpart: moby ``daemon/images``, ``distribution``, ``layer``, ``reference``;
containerd ``content``.
"""
