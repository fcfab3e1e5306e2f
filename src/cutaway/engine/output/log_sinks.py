"""``syslog`` and ``journald``: what the options of ``--log-opt`` ask of a log daemon. Pure.

Source: Docker documentation "Syslog logging driver", "Journald logging driver", "Customize log
driver output"; moby ``daemon/logger/syslog``, ``daemon/logger/loggerutils/log_tag.go``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from cutaway.engine.ids import short_id
from cutaway.engine.units import parse_bytes
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported
from cutaway.shim.protocol import LogSink

JOURNAL_SOCKET = "/run/systemd/journal/socket"
DEFAULT_TAG = "{{.ID}}"
_DEFAULT_PORT = 514
_BUFFER_BYTES = 1 << 20
_FORMS = {"": "unix", "rfc3164": "rfc3164", "rfc5424": "rfc5424", "rfc5424micro": "rfc5424micro"}
_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron"),
    *("authpriv", "ftp", "", "", "", ""),
    *(f"local{n}" for n in range(8)),
)
_FIELD = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_NOT_IN_A_NAME = re.compile(r"[^A-Z0-9_]")


@dataclass(frozen=True, slots=True)
class LogSubject:
    """What a log says of its container.

    Attributes:
        name: without slash.
        image: as the user wrote it.
        command: program and arguments.
    """

    id: str
    name: str
    image: str
    image_id: str
    command: tuple[str, ...] = ()

    def words(self) -> dict[str, str]:
        """Return what a tag may name."""
        bare = self.image_id.removeprefix("sha256:")
        return {
            ".ID": short_id(self.id),
            ".FullID": self.id,
            ".Name": self.name,
            ".ImageID": bare[:12],
            ".ImageFullID": self.image_id,
            ".ImageName": self.image,
            ".Command": " ".join(self.command),
            ".DaemonName": "docker",
        }


def expand_tag(template: str, subject: LogSubject) -> str:
    """Return a tag: text with fields like ``{{.Name}}``.

    Raises:
        InvalidParameter: it names something else.
    """
    words = subject.words()

    def word(match: re.Match[str]) -> str:
        if match[1] not in words:
            known = ", ".join(f"{{{{{name}}}}}" for name in words)
            raise InvalidParameter(
                f"invalid log tag {template!r}: {match[0]} is none of {known}".replace("'", '"')
            )
        return words[match[1]]

    return _FIELD.sub(word, template)


def plan_sink(
    driver: str, options: Mapping[str, str], attributes: Mapping[str, str], subject: LogSubject
) -> LogSink:
    """Decide where the lines of a ``syslog`` or ``journald`` container go.

    Args:
        driver: which.
        options: of the log configuration, names checked.
        attributes: the labels and variables that the options pick.
        subject: the container.

    Raises:
        InvalidParameter: an option's value. NotImplemented: syslog over TLS.
    """
    tag = expand_tag(options.get("tag") or DEFAULT_TAG, subject)
    drops = options.get("mode") == "non-blocking"
    limit_bytes = _buffer_size(options.get("max-buffer-size"))
    if driver == "journald":
        fields = journal_fields(attributes, tag, subject)
        return LogSink(
            driver=driver,
            protocol="unixgram",
            host=JOURNAL_SOCKET,
            tag=tag,
            fields=fields,
            drops=drops,
            limit_bytes=limit_bytes,
        )
    protocol, host, port = parse_address(options.get("syslog-address", ""))
    form = options.get("syslog-format", "")
    if form not in _FORMS:
        raise InvalidParameter(f"Invalid syslog format: {form}")
    return LogSink(
        driver=driver,
        protocol=protocol,
        host=host,
        port=port,
        form=_FORMS[form],
        facility=parse_facility(options.get("syslog-facility", "")),
        tag=tag,
        drops=drops,
        limit_bytes=limit_bytes,
    )


def _buffer_size(text: str | None) -> int:
    if text is None:
        return _BUFFER_BYTES
    try:
        return parse_bytes(text)
    except ValueError:
        raise InvalidParameter(f"invalid value for max-buffer-size: {text}") from None


def parse_address(text: str) -> tuple[str, str, int]:
    """Read ``udp://host:514``, ``tcp://…``, ``unix:///path``, ``unixgram:///path``, or nothing.

    Returns:
        Protocol, host or path, and port (0 with a path).

    Raises:
        InvalidParameter: another form. NotImplemented: TLS.
    """
    if not text:
        return "", "", 0
    parts = urlsplit(text)
    if parts.scheme == "tcp+tls":
        raise Unsupported(
            f"syslog-address {text}: syslog over TLS is not supported: use a syslog daemon of this "
            "machine that forwards by TLS"
        )
    if parts.scheme in ("unix", "unixgram") and parts.path.startswith("/"):
        return parts.scheme, parts.netloc + parts.path, 0
    try:
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        raise InvalidParameter(f"syslog-address {text}: invalid port") from None
    if parts.scheme not in ("tcp", "udp") or not parts.hostname:
        raise InvalidParameter(f"syslog-address should be in form proto://address, got {text}")
    return parts.scheme, parts.hostname, port


def parse_facility(text: str) -> int:
    """Read ``daemon``, ``local3`` or a number; nothing is ``daemon``.

    Raises:
        InvalidParameter: there is no such facility.
    """
    if not text:
        return _FACILITIES.index("daemon")
    if text in _FACILITIES:
        return _FACILITIES.index(text)
    if text.isdecimal() and int(text) < len(_FACILITIES):
        return int(text)
    raise InvalidParameter("invalid syslog facility")


def journal_fields(attributes: Mapping[str, str], tag: str, subject: LogSubject) -> dict[str, str]:
    """Return the fields that every journal entry of a container has."""
    chosen = {
        _NOT_IN_A_NAME.sub("_", name.upper()).lstrip("_"): value
        for name, value in attributes.items()
    }
    return {
        **chosen,
        "CONTAINER_ID": short_id(subject.id),
        "CONTAINER_ID_FULL": subject.id,
        "CONTAINER_NAME": subject.name,
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": subject.image,
        "SYSLOG_IDENTIFIER": tag,
    }
