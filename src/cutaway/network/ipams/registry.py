"""Which IPAMs there are: the built-in ones, and for every other name a plugin.

Docker's counterpart: libnetwork's ``drvregistry``.
"""

from collections.abc import Mapping

from cutaway.network.ipams.base import Ipam
from cutaway.network.ipams.default import DefaultIpam
from cutaway.network.ipams.leases import Leases
from cutaway.network.ipams.null import NullIpam
from cutaway.network.settings import NetworkSettings


def built_in_ipams(settings: NetworkSettings, leases: Leases) -> Mapping[str, Ipam]:
    """Return those that never wait, by name."""
    return {"default": DefaultIpam(settings, leases), "null": NullIpam()}
