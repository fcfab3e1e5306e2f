"""What a create request may ask for: each rule with dockerd's sentence, checked before any work.

Pure functions from a request to nothing or an ``InvalidParameter``. ``container.py`` checks the
portable half (``Config``), ``host.py`` the machine's half (``HostConfig``), ``limits.py`` its
resources. What only the image, the disk or another container can tell is checked where it is
looked up.

Docker's counterpart: moby ``daemon/container.go`` ``verifyContainerSettings``, ``runconfig``.
"""

from cutaway.engine.validate.container import validate_config
from cutaway.engine.validate.host import validate_host_config
from cutaway.engine.validate.limits import validate_resources

__all__ = ["validate_config", "validate_host_config", "validate_resources"]
