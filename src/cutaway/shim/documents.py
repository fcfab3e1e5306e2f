"""Values that travel as JSON objects, and those that say what a launch wants for its container."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any


class ProtocolError(Exception):
    """A packet that is no message of this protocol: which field, and what is wrong with it."""


def nested(kind: type[Any]) -> Any:
    """Declare a field that holds another message-like dataclass, or None."""
    return field(default=None, metadata={"nested": kind})


@dataclass(frozen=True, slots=True)
class Document:
    """A value that travels as a JSON object: its fields are the keys."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object; fields at their default are left out."""
        document: dict[str, Any] = {}
        for name, default, kind in _layout(type(self)):
            value = getattr(self, name)
            if value != default:
                document[name] = value.to_json() if kind and value is not None else value
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Any:
        """Read what ``to_json`` wrote; unknown keys are ignored (a newer peer may send them).

        Raises:
            ProtocolError: a field without default is missing.
        """
        values: dict[str, Any] = {}
        for name, default, kind in _layout(cls):
            if name in document:
                value = document[name]
                values[name] = kind.from_json(value) if kind and value is not None else value
            elif default is MISSING:
                raise ProtocolError(f"{cls.__name__}: the field {name!r} is missing")
        return cls(**values)

    @staticmethod
    def prepare(kind: "type[Document]") -> None:
        """Work out a class's layout once, before shims are forked."""
        _layout(kind)


# (name, default or MISSING, class of a nested document or None) of each field, a class each.
# Looking at dataclasses.fields() at every message would touch, and so copy, pages of each shim.
_Layout = tuple[tuple[str, Any, type[Document] | None], ...]
_LAYOUTS: dict[type[Document], _Layout] = {}


def _layout(kind: type[Document]) -> _Layout:
    found = _LAYOUTS.get(kind)
    if found is None:
        found = tuple(
            (
                item.name,
                item.default_factory() if item.default_factory is not MISSING else item.default,
                item.metadata.get("nested"),
            )
            for item in fields(kind)
        )
        _LAYOUTS[kind] = found
    return found


@dataclass(frozen=True, slots=True)
class LogSink(Document):
    """A log daemon that gets every line.

    Attributes:
        driver: ``syslog`` or ``journald``.
        protocol: ``unixgram``, ``unix``, ``udp``, ``tcp``; empty: the first of syslog's usual
            sockets that takes a connection.
        host: or the socket's path.
        form, facility: of syslog messages; see ``logs/syslog.py``.
        tag: names the container in each message.
        fields: of journal entries.
        drops: ``mode=non-blocking``: a slow daemon costs messages, not the container's time.
        limit_bytes: how much may wait for the daemon.
    """

    driver: str
    protocol: str = ""
    host: str = ""
    port: int = 0
    form: str = "unix"
    facility: int = 3
    tag: str = ""
    fields: dict[str, str] | None = None
    drops: bool = False
    limit_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class LogSettings(Document):
    """Where the container's output is kept.

    Attributes:
        driver: ``json-file``, ``local`` or ``none``.
        path: the current log file, ``ROOT/containers/ID/ID-json.log``; rotated ones add ``.1``….
        max_size_bytes: a file this big is rotated before the next entry; -1 never.
        max_files: how many files there are at most, the current one included.
        compress: rotated files become ``.N.gz``.
        attrs: the ``attrs`` object of every json-file line (from the labels and env log options).
        sink: where lines go besides; the file is then the cache that is read back.
    """

    driver: str = "json-file"
    path: str = ""
    max_size_bytes: int = -1
    max_files: int = 1
    compress: bool = False
    attrs: dict[str, str] | None = None
    sink: LogSink | None = nested(LogSink)


@dataclass(frozen=True, slots=True)
class RestartPolicy(Document):
    """When a container that ended is started again, and how soon.

    Attributes:
        name: ``no``, ``on-failure``, ``always``, ``unless-stopped`` or ``on-unhealthy``.
        maximum_retries: for ``on-failure`` and ``on-unhealthy``; 0 is without limit.
        delay_ms: the first pause; it doubles up to ``maximum_delay_ms`` and falls back once a run
            lasted ``reset_after_ms``.
    """

    name: str = "no"
    maximum_retries: int = 0
    delay_ms: int = 100
    maximum_delay_ms: int = 60_000
    reset_after_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class HealthCheck(Document):
    """A program run beside PID 1 to ask whether the container does its work.

    Attributes:
        process: the runtime-spec ``process`` object to run (the engine has made it from
            ``CMD``/``CMD-SHELL`` and the container's own user, environment and directory).
        user, groups: as in ``Exec``.
    """

    process: dict[str, Any]
    user: str = ""
    groups: tuple[str, ...] = ()
    interval_ns: int = 30_000_000_000
    timeout_ns: int = 30_000_000_000
    start_period_ns: int = 0
    start_interval_ns: int = 5_000_000_000
    retries: int = 3


@dataclass(frozen=True, slots=True)
class ExternalRuntime(Document):
    """An OCI runtime program to use in place of the built-in runtime (``--runtime runc``).

    Attributes:
        path: of the program.
        root: where it keeps its state.
        arguments: before the command, from ``--add-runtime`` or daemon.json.
        init: the program that ``--init`` puts before the container's; empty without.
    """

    path: str
    root: str
    arguments: tuple[str, ...] = ()
    init: str = ""
