"""What the network operations answer that Docker has not."""

from cutaway.model.base import Model, Uint16, always


class Refusal(Model):
    """Something that a container's egress policy did not let out.

    Attributes:
        name: what was asked for by name; empty when the container never asked.
        address: empty when the name server refused the name already.
        protocol: ``tcp``, ``udp``, …; ``dns`` for a name.
        port: 0 for protocols without.
        seconds_ago: the last time.
    """

    name: str = always("")
    address: str = always("")
    protocol: str = always("")
    port: Uint16 = always(0)
    seconds_ago: float = always(0.0)
