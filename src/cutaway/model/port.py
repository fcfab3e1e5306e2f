"""Ports: published ones, and how a list of containers tells them.

A port's key is ``NUMBER/PROTOCOL`` (``80/tcp``), Docker's ``nat.Port``.

Source: Engine API ``PortMap``, ``PortBinding``, ``PortSummary``.
"""

from cutaway.model.base import Model, Uint16, always, named


class PortBinding(Model):
    """One host address and port behind which a container's port is published.

    Attributes:
        host_ip: empty: all addresses, of both families.
        host_port: a number, a range ``8000-8010``, or empty for any free port.
        mode: not Docker's: ``dnat`` or ``host``; empty: as the network or the daemon says.
    """

    host_ip: str = always("")
    host_port: str = always("")
    mode: str = ""


class PortsChange(Model):
    """The body of ``POST /cutaway/containers/{name}/ports/add`` and ``…/rm``.

    Attributes:
        ports: as ``HostConfig.PortBindings``.
    """

    ports: "PortMap" = always({})


PortMap = dict[str, tuple[PortBinding, ...] | None]
"""Container port to where it is published; None: exposed only."""


class PortSummary(Model):
    """A port in the list of containers.

    Attributes:
        ip: the host's address; left out while the port is not published.
        public_port: the host's port; left out while the port is not published.
    """

    ip: str = named("", name="IP")
    private_port: Uint16 = always(0)
    public_port: Uint16 = 0
    type: str = always("")
