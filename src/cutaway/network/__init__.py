"""Networks: how a container reaches others, and who may reach it.

The problem: a process in a network namespace of its own sees no link but ``lo``. It must get an
address that nobody else has, a way to its neighbours and to the world, names for them, and a wall
against everybody who was not invited.

The model is libnetwork's Container Network Model, a noun a file: the *controller* owns *networks*;
a network owns *endpoints*; an endpoint joins a *sandbox* (a container's namespace). A *driver*
says what a network is made of, *IPAM* which addresses it has. All of them decide with pure
functions and act by steps: rtnetlink for links, addresses and routes; nftables, with rules that
never change and sets that do, for the rest.

Words: *pool* (a range to cut subnets from), *lease* (an address that an endpoint's record holds),
*way out* (the default route), *masquerade* (hide behind the host's address), *publish* (let a port
of the host lead to a container's), *hairpin* (a container that reaches itself that way).

Read ``network.py``, ``endpoint.py``, ``sandbox.py`` (the nouns), ``ipams/``, ``drivers/``,
``firewall/`` (``ruleset.py`` has one table that tells it all), ``publishing/``, ``egress.py``,
``decisions/``, then ``controller/``; ``remote/`` when plugins interest you.

Docker's counterpart: libnetwork (``daemon/libnetwork`` of moby).
"""

from cutaway.network.controller import Controller
from cutaway.network.endpoint import Endpoint, EndpointRequest
from cutaway.network.facts import NetworkFacts, probe_network_facts
from cutaway.network.naming.etcfiles import EtcFiles
from cutaway.network.network import IpamConfig, Network, NetworkRequest
from cutaway.network.publishing.ports import PortBinding, PortRequest
from cutaway.network.sandbox import Sandbox, SandboxMode, SandboxRequest
from cutaway.network.settings import AddressPool, NetworkSettings
from cutaway.network.store import Change, LeaseStore, MemoryStore

__all__ = [
    "AddressPool",
    "Change",
    "Controller",
    "Endpoint",
    "EndpointRequest",
    "EtcFiles",
    "IpamConfig",
    "LeaseStore",
    "MemoryStore",
    "Network",
    "NetworkFacts",
    "NetworkRequest",
    "NetworkSettings",
    "PortBinding",
    "PortRequest",
    "Sandbox",
    "SandboxMode",
    "SandboxRequest",
    "probe_network_facts",
]
