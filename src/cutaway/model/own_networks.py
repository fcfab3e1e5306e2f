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


class Reach(Model):
    """Whether one kind of client reaches a published port.

    Attributes:
        client: who, and the address it would use.
        verdict: ``yes``, ``no`` or ``maybe``.
        decided_by: the rule, element or listener that decides.
        leads_to: the container and its port.
    """

    client: str = always("")
    verdict: str = always("")
    decided_by: str = always("")
    leads_to: str = always("")


class Finding(Model):
    """Something that the doctor looked at.

    Attributes:
        subject: what.
        problem: empty when it is well.
        advice: what to do about the problem.
    """

    subject: str = always("")
    problem: str = always("")
    advice: str = always("")
