"""From the flags of ``run`` and ``create`` to the body of ``POST /containers/create``.

Pure but for the files that ``--env-file`` and ``--label-file`` name and the environment variables
that ``-e NAME`` copies. What the engine must judge (does the path exist, is the port free) is left
to the engine; what only the command line can know is judged here, in docker's words.
"""

import os
import re
from collections.abc import Callable
from typing import Any

from cutaway.cli.creating.mounts import parse_mount_flag, parse_tmpfs, split_volumes
from cutaway.cli.creating.ports import parse_expose, parse_publish
from cutaway.cli.flag_values import split_ulimit
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.units import parse_bytes

_MAC = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
_STREAMS = ("stdin", "stdout", "stderr")


RESTART_DELAY_LABEL = "com.cutaway.restart-delay"


def build_create_body(
    flags: Values, arguments: list[str], proxies: Callable[[set[str]], dict[str, str]] | None = None
) -> dict[str, Any]:
    """Return the whole JSON body.

    Args:
        flags: of the command.
        arguments: the image followed by the command.
        proxies: tells which proxy variables come with those of the given names.

    Raises:
        UsageError: flags that are malformed or contradict each other.
    """
    body = _config(flags, arguments)
    if proxies is not None:
        named = {text.partition("=")[0] for text in body["Env"]}
        body["Env"] += [f"{name}={value}" for name, value in proxies(named).items()]
    body["HostConfig"] = _host_config(flags)
    body["NetworkingConfig"] = _networking(flags, body["HostConfig"])
    publish = [port for text in flags["publish"] for port in parse_publish(text)]
    exposed = [port for text in flags["expose"] for port in parse_expose(text)]
    body["ExposedPorts"] = {port: {} for port in [*exposed, *(p for p, _ in publish)]}
    bindings: dict[str, list[dict[str, str]]] = {}
    for port, binding in publish:
        bindings.setdefault(port, []).append(binding)
    body["HostConfig"]["PortBindings"] = bindings
    return body


def _config(flags: Values, arguments: list[str]) -> dict[str, Any]:
    attach = _attached_streams(flags)
    body: dict[str, Any] = {
        "Hostname": flags["hostname"],
        "Domainname": flags["domainname"],
        "User": flags["user"],
        "AttachStdin": "stdin" in attach,
        "AttachStdout": "stdout" in attach,
        "AttachStderr": "stderr" in attach,
        "Tty": flags["tty"],
        "OpenStdin": flags["interactive"],
        "StdinOnce": flags["interactive"] and "stdin" in attach,
        "Env": read_environment(flags["env-file"], flags["env"]),
        "Cmd": arguments[1:] or None,
        "Image": arguments[0],
        "Volumes": {v: {} for v in split_volumes(flags["volume"])[1]},
        "WorkingDir": flags["workdir"],
        "Entrypoint": None,
        "Labels": _labels(flags),
        "StopSignal": flags["stop-signal"],
        "Healthcheck": _healthcheck(flags),
    }
    if "entrypoint" in flags.given:
        body["Entrypoint"] = [flags["entrypoint"]]
    if flags["stop-timeout"] is not None:
        body["StopTimeout"] = flags["stop-timeout"]
    return body


def _labels(flags: Values) -> dict[str, str]:
    labels = read_labels(flags["label-file"], flags["label"])
    if "restart-delay" in flags.given:
        # A label, so that the stock docker CLI can ask for the same.
        labels[RESTART_DELAY_LABEL] = f"{flags['restart-delay'] // 1_000_000}ms"
    return labels


def _attached_streams(flags: Values) -> set[str]:
    chosen = {name.lower() for name in flags["attach"]}
    for name in flags["attach"]:
        if name.lower() not in _STREAMS:
            raise UsageError(
                f'invalid argument "{name}" for "-a, --attach" flag: '
                "valid streams are STDIN, STDOUT and STDERR"
            )
    if flags.get("detach"):
        return set()
    if chosen:
        return chosen
    streams = {"stdout", "stderr"}
    return streams | {"stdin"} if flags["interactive"] else streams


def _healthcheck(flags: Values) -> dict[str, Any] | None:
    names = ("health-interval", "health-timeout", "health-start-period", "health-start-interval")
    given = [n for n in (*names, "health-cmd", "health-retries") if n in flags.given]
    if flags["no-healthcheck"]:
        if given:
            raise UsageError("--no-healthcheck conflicts with --health-* options")
        return {"Test": ["NONE"]}
    if not given:
        return None
    for name in names:
        if (flags[name] or 0) < 0:
            raise UsageError(f"--{name} cannot be negative")
    if (flags["health-retries"] or 0) < 0:
        raise UsageError("--health-retries cannot be negative")
    return {
        "Test": ["CMD-SHELL", flags["health-cmd"]] if flags["health-cmd"] else None,
        "Interval": flags["health-interval"],
        "Timeout": flags["health-timeout"],
        "StartPeriod": flags["health-start-period"],
        "StartInterval": flags["health-start-interval"],
        "Retries": flags["health-retries"] or 0,
    }


def _host_config(flags: Values) -> dict[str, Any]:
    binds, _ = split_volumes(flags["volume"])
    host: dict[str, Any] = {
        "Binds": binds or None,
        "ContainerIDFile": flags["cidfile"],
        "LogConfig": {"Type": flags["log-driver"], "Config": _pairs(flags, "log-opt")},
        "RestartPolicy": parse_restart(flags["restart"]),
        "AutoRemove": flags["rm"],
        "VolumeDriver": flags["volume-driver"],
        "VolumesFrom": flags["volumes-from"] or None,
        "CapAdd": flags["cap-add"] or None,
        "CapDrop": flags["cap-drop"] or None,
        "CgroupnsMode": flags["cgroupns"],
        "Dns": flags["dns"],
        "DnsOptions": flags["dns-option"],
        "DnsSearch": flags["dns-search"],
        "ExtraHosts": [parse_extra_host(text) for text in flags["add-host"]] or None,
        "GroupAdd": flags["group-add"] or None,
        "IpcMode": flags["ipc"],
        "Links": flags["link"] or None,
        "OomScoreAdj": flags["oom-score-adj"] or 0,
        "PidMode": flags["pid"],
        "Privileged": flags["privileged"],
        "PublishAllPorts": flags["publish-all"],
        "ReadonlyRootfs": flags["read-only"],
        "SecurityOpt": [_security_option(text) for text in flags["security-opt"]] or None,
        "StorageOpt": _pairs(flags, "storage-opt"),
        "Tmpfs": dict(parse_tmpfs(text) for text in flags["tmpfs"]),
        "UTSMode": flags["uts"],
        "UsernsMode": flags["userns"],
        "ShmSize": flags["shm-size"] or 0,
        "Sysctls": _pairs(flags, "sysctl"),
        "Runtime": flags["runtime"],
        "Isolation": flags["isolation"],
        "Mounts": [parse_mount_flag(text) for text in flags["mount"]] or None,
        "Annotations": _pairs(flags, "annotation"),
        "Init": flags["init"] if "init" in flags.given else None,
        **({"Egress": flags["egress"]} if flags["egress"] else {}),
        **resources(flags),
    }
    _check_modes(flags)
    if flags["tty"]:
        host["ConsoleSize"] = console_size()
    if flags["rm"] and host["RestartPolicy"]["Name"] not in {"", "no"}:
        raise UsageError("conflicting options: cannot specify both --restart and --rm")
    return host


def _check_modes(flags: Values) -> None:
    """Refuse what docker's command refuses by itself."""
    pid = flags["pid"]
    if pid and pid != "host" and not pid.startswith("container:"):
        raise UsageError("--pid: invalid PID mode")
    for name, word, allowed in (
        ("userns", "USER", {"", "host"}),
        ("cgroupns", "CGROUP", {"", "host", "private"}),
    ):
        if flags[name] not in allowed:
            raise UsageError(f"--{name}: invalid {word} mode")
    if any("=" not in text for text in flags["storage-opt"]):
        raise UsageError("invalid storage option")
    if flags["mac-address"] and not _MAC.fullmatch(flags["mac-address"].strip()):
        raise UsageError(f"{flags['mac-address']} is not a valid mac address")
    swappiness = flags["memory-swappiness"]
    if swappiness is not None and swappiness != -1 and not 0 <= swappiness <= 100:
        raise UsageError(f"invalid value: {swappiness}. Valid memory swappiness range is 0-100")


def resources(flags: Values) -> dict[str, Any]:
    """Return the limits among the flags, as HostConfig and ``update`` name them."""
    values = {
        "CpuShares": flags["cpu-shares"] or 0,
        "Memory": flags["memory"] or 0,
        "NanoCpus": flags["cpus"] or 0,
        "CgroupParent": flags.get("cgroup-parent", ""),
        "BlkioWeight": flags["blkio-weight"] or 0,
        "CpuPeriod": flags["cpu-period"] or 0,
        "CpuQuota": flags["cpu-quota"] or 0,
        "CpuRealtimePeriod": flags["cpu-rt-period"] or 0,
        "CpuRealtimeRuntime": flags["cpu-rt-runtime"] or 0,
        "CpusetCpus": flags["cpuset-cpus"],
        "CpusetMems": flags["cpuset-mems"],
        "KernelMemory": flags.get("kernel-memory") or 0,
        "MemoryReservation": flags["memory-reservation"] or 0,
        "MemorySwap": flags["memory-swap"] or 0,
        "PidsLimit": flags["pids-limit"] or 0,
    }
    if "device" in flags:
        values |= _device_resources(flags)
    return values


def _device_resources(flags: Values) -> dict[str, Any]:
    return {
        "Devices": [parse_device(text) for text in flags["device"]],
        "DeviceCgroupRules": flags["device-cgroup-rule"] or None,
        "DeviceRequests": [_gpu_request(text) for text in flags["gpus"]] or None,
        "BlkioWeightDevice": [
            {"Path": path, "Weight": int(rate)}
            for path, rate in map(_device_rate, flags["blkio-weight-device"])
        ],
        "BlkioDeviceReadBps": _rates(flags["device-read-bps"], in_bytes=True),
        "BlkioDeviceWriteBps": _rates(flags["device-write-bps"], in_bytes=True),
        "BlkioDeviceReadIOps": _rates(flags["device-read-iops"], in_bytes=False),
        "BlkioDeviceWriteIOps": _rates(flags["device-write-iops"], in_bytes=False),
        "MemorySwappiness": flags["memory-swappiness"],
        "OomKillDisable": flags["oom-kill-disable"],
        "Ulimits": [parse_ulimit(text) for text in flags["ulimit"]] or None,
    }


def _device_rate(text: str) -> tuple[str, str]:
    path, colon, rate = text.partition(":")
    if not colon or not path.startswith("/dev/"):
        raise UsageError(f"bad format: {text}: expected DEVICE-PATH:RATE, /dev/sda:1mb")
    return path, rate


def _rates(texts: list[str], *, in_bytes: bool) -> list[dict[str, Any]]:
    rates = []
    for text in texts:
        path, rate = _device_rate(text)
        try:
            rates.append({"Path": path, "Rate": parse_bytes(rate) if in_bytes else int(rate)})
        except ValueError:
            raise UsageError(
                f"invalid rate for device: {text}. The correct format is "
                "<device-path>:<number>[<unit>]. Number must be a positive integer"
            ) from None
    return rates


def _gpu_request(text: str) -> dict[str, Any]:
    count = -1 if text == "all" else int(text) if text.isdecimal() else 0
    return {"Driver": "", "Count": count, "Capabilities": [["gpu"]], "Options": {}}


def _security_option(text: str) -> str:
    """Send a seccomp profile's content instead of its path: the engine may be elsewhere."""
    name, separator, value = text.partition("=")
    if not separator and ":" not in text and name not in {"no-new-privileges", "disable"}:
        raise UsageError(f'Invalid --security-opt: "{text}"')
    if name != "seccomp" or not separator or value in {"unconfined", "builtin", ""}:
        return text
    try:
        with open(value, encoding="utf-8") as file:
            return f"seccomp={file.read()}"
    except OSError as error:
        raise UsageError(
            f"opening seccomp profile ({value}) failed: open {value}: {error.strerror}"
        ) from None


def parse_device(text: str) -> dict[str, str]:
    """Read ``HOST[:CONTAINER][:rwm]``."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise UsageError(f"invalid device specification: {text}")
    permissions = "rwm"
    if len(parts) > 1 and set(parts[-1]) <= set("rwm") and parts[-1]:
        permissions = parts.pop()
    elif len(parts) == 3:
        raise UsageError(f"invalid device mode: {parts[2]}")
    inside = parts[1] if len(parts) > 1 else parts[0]
    return {"PathOnHost": parts[0], "PathInContainer": inside, "CgroupPermissions": permissions}


def parse_ulimit(text: str) -> dict[str, Any]:
    """Read ``NAME=SOFT[:HARD]``, already checked by ``flags``; a missing hard limit is the soft."""
    name, low, high = split_ulimit(text)
    return {"Name": name, "Soft": low, "Hard": high}


def parse_restart(text: str) -> dict[str, Any]:
    """Read ``no``, ``always``, ``unless-stopped``, ``on-failure[:N]``; the engine judges names."""
    name, colon, count = text.partition(":")
    if colon and (not count.isdecimal() or not name):
        if not name:
            raise UsageError("invalid restart policy format: no policy provided before colon")
        raise UsageError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count) if count else 0}


def parse_extra_host(text: str) -> str:
    """Read ``name:address`` or ``name=address``."""
    equals, colon = text.find("="), text.find(":")
    cut = equals if equals > 0 and (colon < 0 or equals < colon) else colon
    if cut <= 0 or cut == len(text) - 1:
        raise UsageError(
            f'invalid argument "{text}" for "--add-host" flag: bad format for add-host: "{text}"'
        )
    return f"{text[:cut]}:{text[cut + 1 :].strip('[]')}"


def _pairs(flags: Values, name: str) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in flags[name])}


def read_environment(files: list[str], texts: list[str]) -> list[str]:
    """Merge env files and ``-e`` flags; a bare NAME is copied from this process, if set there."""
    out = []
    for text in [*(line for path in files for line in _lines(path)), *texts]:
        name, equals, _ = text.partition("=")
        if not name:
            raise UsageError(f"invalid environment variable: {text}")
        if equals:
            out.append(text)
        elif name in os.environ:
            out.append(f"{name}={os.environ[name]}")
        else:
            out.append(name)
    return out


def read_labels(files: list[str], texts: list[str]) -> dict[str, str]:
    """Merge label files and ``--label`` flags."""
    lines = [*(line for path in files for line in _lines(path)), *texts]
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.rstrip("\n").lstrip() for line in file]
    except OSError as error:
        raise UsageError(f"open {path}: {(error.strerror or '').lower()}") from None
    except UnicodeDecodeError:
        raise UsageError(f"env file {path} contains invalid utf8 bytes") from None
    kept = [line for line in lines if line and not line.startswith("#")]
    for line in kept:
        name = line.partition("=")[0]
        if name != name.strip() or " " in name:
            raise UsageError(
                f"poorly formatted environment: variable '{name}' contains whitespaces"
            )
    return kept


def _networking(flags: Values, host: dict[str, Any]) -> dict[str, Any]:
    """Set NetworkMode and describe every endpoint that flags ask for."""
    endpoints: dict[str, dict[str, Any]] = {}
    for text in flags["network"] or ["default"]:
        name, settings = parse_network_flag(text)
        endpoints.setdefault(name, {}).update(settings)
    first = next(iter(endpoints))
    host["NetworkMode"] = first
    settings = endpoints[first]
    addresses = {"IPv4Address": flags["ip"], "IPv6Address": flags["ip6"]}
    ipam: dict[str, Any] = {k: v for k, v in addresses.items() if v}
    if flags["link-local-ip"]:
        ipam["LinkLocalIPs"] = flags["link-local-ip"]
    if ipam:
        settings.setdefault("IPAMConfig", {}).update(ipam)
    if flags["network-alias"]:
        settings["Aliases"] = [*settings.get("Aliases", []), *flags["network-alias"]]
    if flags["link"] and first not in {"default", "bridge"}:
        settings["Links"] = flags["link"]
    if flags["mac-address"]:
        settings["MacAddress"] = flags["mac-address"]
    kept = {n: s for n, s in endpoints.items() if s or n != "default"}
    return {"EndpointsConfig": kept}


def parse_network_flag(text: str) -> tuple[str, dict[str, Any]]:
    """Read ``NAME`` or ``name=NAME,alias=A,ip=…,ip6=…,mac-address=…,driver-opt=K=V``."""
    if "=" not in text:
        return text, {}
    name = ""
    settings: dict[str, Any] = {}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        if not equals:
            raise UsageError(f"invalid field {field}: must be a key=value pair")
        if key == "name":
            name = value
        elif key == "alias":
            settings.setdefault("Aliases", []).append(value)
        elif key in {"ip", "ip6"}:
            family = "IPv4Address" if key == "ip" else "IPv6Address"
            settings.setdefault("IPAMConfig", {})[family] = value
        elif key == "mac-address":
            settings["MacAddress"] = value
        elif key == "link-local-ip":
            settings.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", []).append(value)
        elif key == "driver-opt":
            option, _, setting = value.partition("=")
            settings.setdefault("DriverOpts", {})[option] = setting
        elif key == "gw-priority":
            settings["GwPriority"] = int(value)
        else:
            raise UsageError(f"invalid field key {key}")
    if not name:
        raise UsageError("network name/id is not specified")
    return name, settings


def console_size() -> list[int]:
    """Return this terminal's [height, width], zeros when there is none."""
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return [0, 0]
    return [size.lines, size.columns]
