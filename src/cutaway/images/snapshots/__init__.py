"""Snapshots: layers stacked into root file systems, without copying and without mounting.

The problem: a hundred containers of one image must share its files and each have its own changes.

The model is containerd's. A *committed* snapshot is one layer's directory with a *name* (the chain
id of the image) and maybe a *parent*, the layer below. ``prepare`` makes an *active* snapshot: an
empty directory for changes on top of a committed one, known by a *key* (the container's id).
``view`` is the same for reading only. ``commit`` turns an active snapshot into a committed one.
Each answers with *mounts*: what to mount to see the stack as one file system. A snapshotter never
mounts; the runtime does, inside the container's own mount namespace.

    prepare("c1", parent="sha256:a…")  ->  overlay: lowerdir=a, upperdir=c1's directory
    commit("sha256:b…", "c1")          ->  c1's changes are now a layer with parent a…
    remove("sha256:b…")                ->  moved to the trash at once, deleted later

State is the directory itself, so that nothing can disagree with it:

    ROOT/snapshots/committed/NAME -> ../17      names and keys: symbolic links, made and removed
    ROOT/snapshots/active/KEY     -> ../23      in one journalled operation each, so no crash
    ROOT/snapshots/views/KEY      -> ../24      leaves half of one
    ROOT/snapshots/17/fs/                       the layer's files, the upper directory of an active
    ROOT/snapshots/17/parent      -> ../16      absent: a lowest layer
    ROOT/snapshots/23/work/                     overlay's own
    ROOT/snapshots/tmp/, trash/                 being unpacked; being deleted; both swept at start

Numbers, because mount(2) takes one page of options and a chain may have hundreds of layers.

Read ``mounts.py``, ``index.py`` (the directory as a table), ``overlay.py`` (the operations),
``adoption.py`` (how an unpacked layer becomes a snapshot), ``trash.py``, ``steps.py``.

Docker's counterpart: containerd ``core/snapshots`` and its overlay snapshotter; dockerd's
graphdriver ``overlay2``.
"""

from cutaway.images.mount import Mount
from cutaway.images.snapshots.adoption import LayerBlob, unpack_image
from cutaway.images.snapshots.index import Kind, SnapshotInfo
from cutaway.images.snapshots.overlay import Snapshots
from cutaway.images.snapshots.trash import Trash
from cutaway.images.snapshots.usage import Usage

__all__ = [
    "Kind",
    "LayerBlob",
    "Mount",
    "SnapshotInfo",
    "Snapshots",
    "Trash",
    "Usage",
    "unpack_image",
]
