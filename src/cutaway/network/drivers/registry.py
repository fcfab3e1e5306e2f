"""Which drivers there are: the built-in ones, and for every other name a plugin.

Docker's counterpart: libnetwork's ``drvregistry``.
"""

from cutaway.network.drivers.bare import HostDriver, NullDriver
from cutaway.network.drivers.base import Driver
from cutaway.network.drivers.bridge import BridgeDriver
from cutaway.network.drivers.macvlan import IpvlanDriver, MacvlanDriver
from cutaway.network.drivers.remote import RemoteDriver


class Drivers(dict[str, Driver]):
    """All drivers by name. Drivers hold no state, so a plugin's is made when it is asked for."""

    def __init__(self) -> None:
        built_in = (BridgeDriver(), MacvlanDriver(), IpvlanDriver(), HostDriver(), NullDriver())
        super().__init__({driver.name: driver for driver in built_in})

    def __missing__(self, name: str) -> Driver:
        return RemoteDriver(name)
