"""The image use cases: what the API asks of images, done with ``cutaway.images``.

The problem: the image store works in threads and speaks of digests; clients speak of names, want
progress as it happens, and may leave in the middle.

The model: ``ImageService`` fits ``api``'s ``ImageBackend``. Its transport half moves images in
and out (registries, archives, this machine's programs) as streams of progress; the other half
looks, names and removes. ``views.py`` says images in Docker's words; ``registries.py`` joins what
the daemon and one command say about registries.

Read ``service.py``, ``transport.py``, ``views.py``.

Docker's counterpart: moby ``daemon/images`` and ``daemon/server/router/image``.
"""

from cutaway.engine.images.lists import ManifestService
from cutaway.engine.images.service import ImageService
from cutaway.engine.images.transport import make_credentials

__all__ = ["ImageService", "ManifestService", "make_credentials"]
