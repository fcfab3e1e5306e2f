"""Mount flags: ``-v``, ``--mount`` and ``--tmpfs``."""

import os
from typing import Any

from cutaway.cli.flags import UsageError
from cutaway.cli.units import parse_bytes


def split_volumes(texts: list[str]) -> tuple[list[str], list[str]]:
    """Split ``-v`` values into (binds with a source, anonymous volumes' targets).

    A relative source that starts with a dot is made absolute: only this process knows its
    working directory.
    """
    binds, anonymous = [], []
    for text in texts:
        source, colon, rest = text.partition(":")
        if not colon:
            anonymous.append(text)
            continue
        if text.count(":") > 2:
            raise UsageError(f"invalid spec: {text}: too many colons")
        if source in {".", ".."} or source.startswith(("./", "../", "~/")):
            source = os.path.abspath(os.path.expanduser(source))
        binds.append(f"{source}:{rest}")
    return binds, anonymous


def parse_tmpfs(text: str) -> tuple[str, str]:
    """Read ``/path[:options]``."""
    path, _, options = text.partition(":")
    return path, options


def _fields(text: str) -> list[tuple[str, str | None]]:
    """Split comma-separated ``key[=value]`` fields, with CSV's double quotes."""
    out, field, quoted = [], "", False
    for char in text:
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            out.append(field)
            field = ""
        else:
            field += char
    out.append(field)
    pairs = []
    for item in out:
        key, equals, value = item.partition("=")
        pairs.append((key.strip().lower(), value if equals else None))
    return pairs


def _truth(value: str | None, key: str) -> bool:
    if value is None or value.lower() in {"1", "true"}:
        return True
    if value.lower() in {"0", "false"}:
        return False
    raise UsageError(f"invalid value for {key}: {value}")


def parse_mount_flag(text: str) -> dict[str, Any]:
    """Read ``type=bind,src=/a,dst=/b,readonly`` into the API's Mount.

    Raises:
        UsageError: in docker's words.
    """
    mount: dict[str, Any] = {"Type": "volume"}
    for key, value in _fields(text):
        _set_field(mount, key, value)
    if "Target" not in mount:
        raise UsageError("target is required")
    for option, kind in (
        ("VolumeOptions", "volume"),
        ("BindOptions", "bind"),
        ("TmpfsOptions", "tmpfs"),
        ("ImageOptions", "image"),
    ):
        if option in mount and mount["Type"] != kind:
            raise UsageError(f"cannot mix '{kind}-*' options with mount type '{mount['Type']}'")
    return mount


def _set_field(mount: dict[str, Any], key: str, value: str | None) -> None:
    if key in {"readonly", "ro"}:
        mount["ReadOnly"] = _truth(value, key)
    elif key in {"bind-recursive", "bind-nonrecursive", "bind-create-src", "volume-nocopy"}:
        _set_switch(mount, key, value)
    elif value is None:
        raise UsageError(f"invalid field '{key}' must be a key=value pair")
    elif key == "type":
        mount["Type"] = value.lower()
    elif key in {"source", "src"}:
        is_relative = value.startswith(".") and (value in {".", ".."} or "/" in value)
        mount["Source"] = os.path.abspath(value) if is_relative else value
    elif key in {"target", "dst", "destination"}:
        mount["Target"] = value
    elif key == "consistency":
        mount["Consistency"] = value
    else:
        _set_option(mount, key, value)


def _set_switch(mount: dict[str, Any], key: str, value: str | None) -> None:
    if key == "volume-nocopy":
        mount.setdefault("VolumeOptions", {})["NoCopy"] = _truth(value, key)
        return
    bind = mount.setdefault("BindOptions", {})
    if key == "bind-nonrecursive":
        bind["NonRecursive"] = _truth(value, key)
    elif key == "bind-create-src":
        bind["CreateMountpoint"] = _truth(value, key)
    elif value == "disabled":
        bind["NonRecursive"] = True
    elif value == "writable":
        bind["ReadOnlyNonRecursive"] = True
    elif value == "readonly":
        bind["ReadOnlyForceRecursive"] = True
    elif value != "enabled":
        raise UsageError(
            f'invalid value for {key}: {value} (must be "enabled", "disabled", "writable", '
            'or "readonly")'
        )


def _set_option(mount: dict[str, Any], key: str, value: str) -> None:
    volume = ("volume-label", "volume-driver", "volume-opt", "volume-subpath")
    if key == "bind-propagation":
        mount.setdefault("BindOptions", {})["Propagation"] = value.lower()
    elif key in volume:
        _set_volume_option(mount.setdefault("VolumeOptions", {}), key, value)
    elif key == "tmpfs-size":
        try:
            mount.setdefault("TmpfsOptions", {})["SizeBytes"] = parse_bytes(value)
        except ValueError:
            raise UsageError(f"invalid value for {key}: {value}") from None
    elif key == "tmpfs-mode":
        try:
            mount.setdefault("TmpfsOptions", {})["Mode"] = int(value, 8)
        except ValueError:
            raise UsageError(f"invalid value for {key}: {value}") from None
    elif key == "image-subpath":
        mount.setdefault("ImageOptions", {})["Subpath"] = value
    else:
        raise UsageError(f"unexpected key '{key}' in '{key}={value}'")


def _set_volume_option(options: dict[str, Any], key: str, value: str) -> None:
    name, _, setting = value.partition("=")
    if key == "volume-label":
        options.setdefault("Labels", {})[name] = setting
    elif key == "volume-driver":
        options.setdefault("DriverConfig", {})["Name"] = value
    elif key == "volume-subpath":
        options["Subpath"] = value
    else:
        driver = options.setdefault("DriverConfig", {})
        driver.setdefault("Options", {})[name] = setting
