"""Log drivers and their options: ``LogConfig`` to the shim's ``LogSettings``.

``syslog`` and ``journald`` lines are kept in a file, too, for ``docker logs``: see ``log_sinks``.

Source: Docker documentation "JSON File logging driver", "Local file logging driver".
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from cutaway.engine.output.log_sinks import LogSubject, expand_tag, plan_sink
from cutaway.engine.units import parse_bytes
from cutaway.errors import InvalidParameter
from cutaway.model import ContainerConfig, LogConfig
from cutaway.shim.protocol import LogSettings

# Docker's json-file grows without end unless told otherwise. A disk that fills silently is worse
# than a log whose beginning is gone: five files of 20 MiB, as Docker's own `local` driver has.
DEFAULT_MAX_BYTES = 20 << 20
DEFAULT_MAX_FILES = 5
_COMMON = frozenset({"mode", "max-buffer-size"})
_FILE = _COMMON | {"max-size", "max-file", "compress"}
_CACHE = frozenset({"cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"})
_SYSLOG = frozenset({"syslog-address", "syslog-facility", "syslog-format"})
_LABELS = frozenset({"labels", "labels-regex", "env", "env-regex", "tag"})
_OPTIONS: dict[str, frozenset[str]] = {
    "json-file": _FILE | _LABELS,
    "local": _FILE,
    "none": frozenset(),
    "syslog": _COMMON | _LABELS | _CACHE | _SYSLOG,
    "journald": _COMMON | _LABELS | _CACHE,
}


def plan_log(
    log: LogConfig, config: ContainerConfig, path: str, subject: LogSubject
) -> LogSettings:
    """Read a log configuration.

    Args:
        log: the driver and its options.
        config: labels and environment that options may pick.
        path: the current log file.
        subject: whose log it is.

    Raises:
        InvalidParameter: an option that the driver doesn't have, or a bad value.
    """
    options = log.config or {}
    driver = log.type
    for name in options:
        if name not in _OPTIONS[driver]:
            raise InvalidParameter(f"unknown log opt '{name}' for {driver} log driver")
    if driver == "none":
        return LogSettings(driver="none")
    if options.get("mode", "blocking") not in ("blocking", "non-blocking"):
        raise InvalidParameter(f"logger: logging mode not supported: {options['mode']}")
    attributes = pick_attributes(options, config)
    if driver in ("syslog", "journald"):
        sink = plan_sink(driver, options, attributes, subject)
        return replace(_plan_cache(options, path), sink=sink)
    if options.get("tag"):
        attributes["tag"] = expand_tag(options["tag"], subject)
    return _plan_file(driver, options, path, attributes)


def _plan_cache(options: Mapping[str, str], path: str) -> LogSettings:
    """Return the file from which the lines that went elsewhere are read back."""
    if _flag("cache-disabled", options.get("cache-disabled"), default=False):
        return LogSettings(driver="none")
    own = {n.removeprefix("cache-"): v for n, v in options.items() if n in _CACHE}
    return _plan_file("local", own, path, {})


def _plan_file(
    driver: str, options: Mapping[str, str], path: str, attributes: dict[str, str]
) -> LogSettings:
    max_files = _number("max-file", options.get("max-file"), DEFAULT_MAX_FILES)
    if max_files < 1:
        raise InvalidParameter("max-file cannot be less than 1")
    max_size = _size(options.get("max-size"))
    if max_size < 0 and max_files > 1 and "max-file" in options:
        raise InvalidParameter("max-file can't be more than 1 without max-size")
    return LogSettings(
        driver=driver,
        path=path,
        max_size_bytes=max_size,
        max_files=max_files,
        compress=_flag("compress", options.get("compress"), default=driver == "local"),
        attrs=attributes or None,
    )


def _number(name: str, text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal():
        raise InvalidParameter(f"invalid value for {name}: {text}")
    return int(text)


def _size(text: str | None) -> int:
    if text is None:
        return DEFAULT_MAX_BYTES
    if text == "-1":
        return -1
    try:
        size = parse_bytes(text)
    except ValueError:
        raise InvalidParameter(f"invalid value for max-size: {text}") from None
    if size <= 0:
        raise InvalidParameter("max-size must be a positive number")
    return size


def _flag(name: str, text: str | None, *, default: bool) -> bool:
    if text is None:
        return default
    if text not in ("true", "false"):
        raise InvalidParameter(f"invalid value for {name}: {text}")
    return text == "true"


def pick_attributes(options: Mapping[str, str], config: ContainerConfig) -> dict[str, str]:
    """Return the labels and variables that the options name: the ``attrs`` of every line.

    Raises:
        InvalidParameter: a regular expression is not one.
    """
    labels = config.labels or {}
    variables = dict(
        (name, value)
        for name, separator, value in (entry.partition("=") for entry in config.env or ())
        if separator
    )
    chosen: dict[str, str] = {}
    for source, names, pattern in (
        (labels, options.get("labels", ""), options.get("labels-regex", "")),
        (variables, options.get("env", ""), options.get("env-regex", "")),
    ):
        chosen |= {name: source[name] for name in _words(names) if name in source}
        if pattern:
            chosen |= {k: v for k, v in source.items() if _expression(pattern).search(k)}
    return chosen


def _words(text: str) -> Iterable[str]:
    return (word.strip() for word in text.split(",") if word.strip())


def _expression(pattern: str) -> "re.Pattern[str]":
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InvalidParameter(f"invalid regular expression {pattern!r}: {error}") from None
