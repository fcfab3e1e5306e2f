"""Network drivers: what kind of wire a network is.

A driver turns a network or an endpoint, as values, into steps. It holds no state: what exists is
in the controller's records and in the kernel. ``base.py`` is the interface; ``bridge.py`` the
driver nearly every container uses; ``macvlan.py`` puts containers on the machine's own wire;
``bare.py`` has the two that make nothing, ``host`` and ``null`` (the network ``none``);
``remote.py`` stands for a plugin, ``registry.py`` has them all.

Docker's counterpart: libnetwork's ``drivers/``.
"""

from cutaway.network.drivers.base import NO_TERMS, Driver, DriverContext, DriverTerms
from cutaway.network.drivers.registry import Drivers

__all__ = ["NO_TERMS", "Driver", "DriverContext", "DriverTerms", "Drivers"]
