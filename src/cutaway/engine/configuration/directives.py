"""Flags and ``daemon.json``: read, compared, merged into ``DaemonSettings``.

The rules are dockerd's: a directive given both as a flag and in the file is an error, also with
equal values (``runtimes`` excepted, which are merged); an unknown key is an error; a missing
default config file is not.

Source: moby ``daemon/config``; ``dockerd --help`` 28.
"""

import ipaddress
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cutaway.engine.configuration.options import (
    BY_FLAG,
    BY_KEY,
    BY_SHORT,
    DEFAULT_CONFIG_FILE,
    FILE_ONLY_KEYS,
    OPTIONS,
    Kind,
    Option,
)
from cutaway.engine.configuration.settings import (
    AddressPool,
    BadSettings,
    BuildGc,
    DaemonSettings,
    Runtime,
    build_settings,
)
from cutaway.engine.units import Ulimit, parse_bytes, parse_ulimit
from cutaway.errors import InvalidParameter

MERGED_KEYS = frozenset({"runtimes"})
_MOST_USED = ("defaultMaxUsedSpace", "defaultReservedSpace", "defaultKeepStorage")
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


@dataclass(frozen=True, slots=True)
class CommandLine:
    """What was typed, split into options and the few words that are no settings."""

    values: Mapping[str, Any]
    config_file: str | None = None
    validate_only: bool = False
    help: bool = False
    version: bool = False


def load_settings(command_line: CommandLine) -> DaemonSettings:
    """Join the command line with the config file and check the outcome.

    Raises:
        BadSettings: an unknown, conflicting, unsupported or malformed directive.
    """
    path = command_line.config_file or DEFAULT_CONFIG_FILE
    document = read_config_file(path, must_exist=command_line.config_file is not None)
    try:
        from_file = parse_config(document)
        check_conflicts(command_line.values, document, from_file)
    except BadSettings as error:
        raise BadSettings(
            f"unable to configure the Docker daemon with file {path}: {error}"
        ) from None
    return build_settings(merge(command_line.values, from_file))


def parse_command_line(arguments: Sequence[str]) -> CommandLine:
    """Read dockerd's flags as pflag does: ``--x=v``, ``--x v``, ``-xv``, ``-x v``, ``--bool``.

    Raises:
        BadSettings: an unknown flag, a missing or malformed value, a word that is no flag.
    """
    values: dict[str, Any] = {}
    special: dict[str, Any] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word == "-":
            raise BadSettings(f'"cutawayd" accepts no arguments: {word}')
        name, separator, value = _split_flag(word)
        if name in ("help", "version", "validate"):
            special[name] = True
            continue
        if name != "config-file" and name not in BY_FLAG:
            raise BadSettings(f"unknown flag: {word.split('=')[0]}")
        if not separator:
            if name in BY_FLAG and BY_FLAG[name].kind is Kind.FLAG:
                value = "true"
            elif words:
                value = words.pop(0)
            else:
                raise BadSettings(f"flag needs an argument: {word}")
        if name == "config-file":
            special["config_file"] = value
        else:
            _add_flag(values, BY_FLAG[name], value)
    return CommandLine(
        values=values,
        config_file=special.get("config_file"),
        validate_only=special.get("validate", False),
        help=special.get("help", False),
        version=special.get("version", False),
    )


def _split_flag(word: str) -> tuple[str, str, str]:
    """Split one word into the long flag's name, ``=`` or nothing, and the value behind it."""
    if word.startswith("--"):
        return word[2:].partition("=")
    letter, rest = word[1], word[2:]
    if letter in "hv":
        return ("help" if letter == "h" else "version"), "", ""
    if letter not in BY_SHORT:
        raise BadSettings(f"unknown shorthand flag: '{letter}' in {word}")
    name = BY_SHORT[letter].flag
    return name, "=" if rest else "", rest.removeprefix("=")


def _add_flag(values: dict[str, Any], option: Option, text: str) -> None:
    try:
        value = parse_flag_value(option, text)
    except (ValueError, InvalidParameter) as error:
        raise BadSettings(
            f'invalid argument "{text}" for "--{option.flag}" flag: {error}'
        ) from None
    if option.kind in (Kind.LIST, Kind.ULIMITS, Kind.POOLS):
        values[option.name] = values.get(option.name, ()) + value
    elif option.kind in (Kind.MAP, Kind.RUNTIMES):
        values[option.name] = {**values.get(option.name, {}), **value}
    else:
        values[option.name] = value


def parse_flag_value(option: Option, text: str) -> Any:
    """Return the typed value of one occurrence of a flag.

    Raises:
        ValueError: the text is not of the option's kind.
    """
    match option.kind:
        case Kind.TEXT:
            return text
        case Kind.FLAG:
            return parse_bool(text)
        case Kind.NUMBER:
            return int(text)
        case Kind.BYTES:
            return parse_bytes(text)
        case Kind.LIST:
            return (text,)
        case Kind.MAP:
            key, separator, value = text.partition("=")
            if not separator:
                value = "true" if option.flag == "feature" else ""
            return {key: value}
        case Kind.ULIMITS:
            return (parse_ulimit(text),)
        case Kind.POOLS:
            return (_parse_pool(dict(part.split("=", 1) for part in text.split(","))),)
        case Kind.RUNTIMES:
            name, _, path = text.partition("=")
            return {name: Runtime(name, path)}


def parse_bool(text: str) -> bool:
    """Read a truth value as Go's strconv does.

    Raises:
        ValueError: any other word.
    """
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def read_config_file(path: str, *, must_exist: bool) -> dict[str, Any]:
    """Return the document in daemon.json; empty when there is none and none was asked for.

    Raises:
        BadSettings: it can't be read or is not a JSON object.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except FileNotFoundError:
        if must_exist:
            raise BadSettings(
                f"unable to configure the Docker daemon with file {path}: "
                f"open {path}: no such file or directory"
            ) from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(
            f"unable to configure the Docker daemon with file {path}: {error}"
        ) from None
    if not text.strip():
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadSettings(
            f"unable to configure the Docker daemon with file {path}: invalid JSON: {error}"
        ) from None
    if not isinstance(document, dict):
        raise BadSettings(
            f"unable to configure the Docker daemon with file {path}: it is not a JSON object"
        )
    return document


def parse_config(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the typed values of daemon.json by key.

    Raises:
        BadSettings: unknown keys (all of them are named), or a value of the wrong type.
    """
    unknown = sorted(key for key in document if key not in BY_KEY and key not in FILE_ONLY_KEYS)
    if unknown:
        raise BadSettings(
            "the following directives don't match any configuration option: " + ", ".join(unknown)
        )
    values: dict[str, Any] = {}
    for key, value in document.items():
        if key == "proxies" and isinstance(value, dict):
            values.update({name: str(text) for name, text in value.items()})
        elif key == "builder" and value is not None:
            values[key] = _build_gc(value)
        elif key == "host-gateway-ip":  # Docker's older spelling, for one address
            values["host-gateway-ips"] = (str(value),)
        elif key in BY_KEY and value is not None:
            values[key] = _typed(BY_KEY[key], value)
    return values


def _typed(option: Option, value: Any) -> Any:
    try:
        return parse_file_value(option, value)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadSettings(
            f"{option.name}: {value!r} is not a valid {option.kind}: {error}"
        ) from None


def parse_file_value(option: Option, value: Any) -> Any:
    """Return the typed value of one key of daemon.json.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: the JSON value has another shape.
    """
    match option.kind:
        case Kind.TEXT:
            return _expect(str, value)
        case Kind.FLAG:
            return _expect(bool, value)
        case Kind.NUMBER:
            return _expect(int, value)
        case Kind.BYTES:
            return value if isinstance(value, int) else parse_bytes(_expect(str, value))
        case Kind.LIST:
            return tuple(_expect(str, item) for item in _expect(list, value))
        case Kind.MAP:
            return {key: _plain(item) for key, item in _expect(dict, value).items()}
        case Kind.ULIMITS:
            return tuple(
                Ulimit(name, soft=int(item["Soft"]), hard=int(item["Hard"]))
                for name, item in value.items()
            )
        case Kind.POOLS:
            return tuple(_parse_pool(item) for item in _expect(list, value))
        case Kind.RUNTIMES:
            return {
                name: Runtime(name, item.get("path", name), tuple(item.get("runtimeArgs") or ()))
                for name, item in value.items()
            }


def _build_gc(builder: Any) -> BuildGc:
    """Read ``builder.gc``; the older names of the size count where the newer are absent.

    Raises:
        BadSettings: another shape, a policy, or a size that is none.
    """
    document = (builder.get("gc") or {}) if isinstance(builder, dict) else None
    if not isinstance(document, dict):
        raise BadSettings("builder: expected an object, and in it an object gc")
    unknown = sorted(document.keys() - {"enabled", "defaultMinFreeSpace", *_MOST_USED})
    if unknown:
        raise BadSettings(
            f"builder.gc.{unknown[0]} can't be honoured: give defaultMaxUsedSpace or "
            "defaultMinFreeSpace, or prune by: docker builder prune --filter"
        )
    if not document.get("enabled"):
        return BuildGc()
    most = next((document[key] for key in _MOST_USED if document.get(key)), 0)
    try:
        return BuildGc(
            max_used_bytes=parse_bytes(str(most)),
            min_free_bytes=parse_bytes(str(document.get("defaultMinFreeSpace") or 0)),
        )
    except ValueError as error:
        raise BadSettings(f"builder.gc: {error}") from None


def _expect(kind: type, value: Any) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"expected {kind.__name__}")
    return value


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parse_pool(item: Mapping[str, Any]) -> AddressPool:
    base = ipaddress.ip_network(item["base"])
    size = int(item["size"])
    if not base.prefixlen <= size <= base.max_prefixlen:
        raise ValueError(f"size {size} does not fit in {base}")
    return AddressPool(str(base), size)


def check_conflicts(
    flags: Mapping[str, Any], document: Mapping[str, Any], from_file: Mapping[str, Any]
) -> None:
    """Refuse a directive that is given twice.

    Raises:
        BadSettings: names each with both values, as dockerd does.
    """
    twice = [
        f"{key}: (from flag: {_shown(value)}, "
        f"from file: {_shown(document.get(key, from_file[key]))})"
        for key, value in flags.items()
        if key in from_file and key not in MERGED_KEYS
    ]
    if twice:
        raise BadSettings(
            "the following directives are specified both as a flag and in the configuration file: "
            + ", ".join(twice)
        )


def _shown(value: Any) -> str:
    """Print a value as Go's ``%v`` does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "[" + " ".join(_shown(item) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{_shown(value[k])}" for k in sorted(value)) + "]"
    return str(value)


def merge(flags: Mapping[str, Any], from_file: Mapping[str, Any]) -> dict[str, Any]:
    """Join two sets of values that don't conflict."""
    merged = {**from_file, **flags}
    for key in MERGED_KEYS & flags.keys() & from_file.keys():
        merged[key] = {**from_file[key], **flags[key]}
    return merged


def usage() -> str:
    """Return the text of ``--help``."""
    lines = [
        "Usage:  cutawayd [OPTIONS]",
        "",
        "A self-sufficient engine for containers.",
        "",
        "Options:",
    ]
    for option in sorted(OPTIONS, key=lambda option: option.flag):
        if option.refuse or option.harmless:
            continue
        short = f"-{option.short}, " if option.short else "    "
        kind = "" if option.kind is Kind.FLAG else f" {option.kind}"
        default = (
            f" (default {option.default!r})" if option.default not in (None, "", False, ()) else ""
        )
        lines.append(f"  {short}--{option.flag + kind:36}{option.help}{default}")
    lines.append(
        f"      --{'config-file string':36}Daemon configuration file"
        f" (default {DEFAULT_CONFIG_FILE!r})"
    )
    lines.append(f"      --{'validate':36}Validate daemon configuration and exit")
    lines.append("  -v, --version                               Print version information and quit")
    return "\n".join(lines) + "\n"
