"""Layers: tars from strangers, unpacked into directories and made from them again.

The problem: an image's layer is a tar that anybody can have made. Unpacked carelessly it writes
outside its directory (through ``..``, links, hard links, whiteouts), fills the disk or the
memory, or smuggles attributes that overlay trusts. dockerd's own history has each of these.

The model: the parent hands a descriptor of the blob to a confined child (``unpack_worker``),
which has made the layer's directory its root and given up everything else. It reads the tar once:
decompressed, hashed (the ``diff_id`` must be what the image config promised) and applied entry by
entry through descriptors. The result is the *overlay* form of the layer: whiteouts are character
devices 0:0, so the directory can be a ``lowerdir`` as it is. Layers do not depend on each other
and are unpacked in parallel.

Words: *entry* (one member of a tar), *whiteout* (a deletion), *opaque* (a directory that hides
what is below it), *diff_id* (digest of the uncompressed tar), *implicit* (a directory that an
entry needs but no entry describes).

Read ``tar_header``, ``pax``, ``sparse``, ``tar_read`` (text to values); ``whiteout``,
``extract`` (values to files); ``confine``, then ``unpack`` and ``../unpack_worker`` (who does it,
with which rights), ``../worker_template`` (what workers are forked from); ``tar_write`` and
``tree_tar`` (the way back).

Docker's counterpart: moby ``pkg/archive`` and ``docker-applyLayer``; containerd ``pkg/archive``.
"""
