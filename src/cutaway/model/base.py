"""How a Go struct of the Engine API is said in Python.

Docker's documents are Go structs printed by ``encoding/json``, and three habits of Go show in
them. Each has one counterpart here:

===========================  =====================================================================
Go                           here
===========================  =====================================================================
``json:"Name"``              ``name: str = always("")``: the field is always written
``json:"Name,omitempty"``    ``name: str = ""``: left out while it has its default
nil slice, map or pointer    ``None``: nobody said anything; written as ``null``
===========================  =====================================================================

Values are frozen. Change one with ``msgspec.structs.replace(value, field=new)``. Lists of the
document are tuples, so that two containers can never share a list (CVE-2021-21334 was that).
"""

from typing import Annotated, TypeVar, dataclass_transform

from msgspec import Meta, Struct, StructMeta, field

T = TypeVar("T")

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""Go's int64, and its int on the machines we run on."""
Uint64 = Annotated[int, Meta(ge=0)]
"""Go's uint64: counters; what would not fit never occurs in a request."""
Uint16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
"""Go's uint16: port numbers, weights."""
Uint32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
"""Go's uint32: file modes, sizes of a terminal."""

ZERO_TIME = "0001-01-01T00:00:00Z"
"""How Go prints a time that was never set; clients test for exactly this text."""


def always(default: T, name: str | None = None) -> T:
    """Return a field that is written even while it has its default.

    msgspec leaves out a field that *is* its default; a value made by a factory never is. An
    empty dict is made anew for each document.
    """
    if isinstance(default, dict):
        return field(default_factory=default.copy, name=name)  # type: ignore[return-value]
    return field(default_factory=lambda: default, name=name)


def named(default: T, name: str) -> T:
    """Return a field that is left out while it has its default, called ``name`` on the wire."""
    return field(default=default, name=name)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(always, named))
class ModelMeta(StructMeta):
    """Tells type checkers that every subclass is frozen and takes keywords only."""


class Model(
    Struct, metaclass=ModelMeta, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"
):
    """The root of every document of the Engine API: ``host_config`` is ``HostConfig`` on the wire.

    Names that do not follow that rule (``OOMKilled``, ``NanoCpus``, ``readOnly``) are given with
    ``always(…, name=)`` or ``named(…)``.
    """


class LowerModel(Struct, metaclass=ModelMeta, frozen=True, kw_only=True, omit_defaults=True):
    """The root of the documents whose names on the wire are in snake case or lower case."""
