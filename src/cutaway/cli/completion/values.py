"""Which values an argument or a flag takes, and how the engine is asked for those it knows."""

from typing import TYPE_CHECKING, Any

from cutaway.cli.filters import encode_filters

if TYPE_CHECKING:
    from cutaway.client import Client

Values = str | tuple[str, ...]

# What the usage lines call an argument, to the kind of its values.
ARGUMENTS: dict[str, Values] = {
    "CONTAINER": "containers",
    "CONTAINER:PATH": "container-path",
    "CONTAINER:SRC_PATH": "container-path",
    "DEST_PATH|-": "container-path",
    "IMAGE": "images",
    "NETWORK": "networks",
    "VOLUME": "volumes",
    "CONTEXT": "contexts",
    "REPOSITORY": "images",
    "SOURCE_IMAGE": "images",
    "NAME": "images",
    "NAME|ID": "objects",
    "PATH|URL|-": "files",
    "file|URL|-": "files",
    "file|-": "files",
    "SHELL": ("bash", "zsh", "fish"),
}

_SIGNALS = ("HUP", "INT", "KILL", "QUIT", "STOP", "TERM", "USR1", "USR2", "WINCH")
_PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/riscv64")

# A flag's name, with the command's where it means different things, to its values.
FLAG_VALUES: dict[str, Values] = {
    "attach": ("stderr", "stdin", "stdout"),
    "cgroupns": ("host", "private"),
    "context": "contexts",
    "driver": ("local",),
    "network create driver": ("bridge", "ipvlan", "macvlan"),
    "env-file": "files",
    "from": "contexts",
    "ipc": ("host", "none", "private", "shareable"),
    "label-file": "files",
    "link": "containers",
    "log-driver": ("json-file", "journald", "local", "none", "syslog"),
    "log-level": ("debug", "info", "warn", "error", "fatal"),
    "network": "networks",
    "pid": ("host",),
    "platform": _PLATFORMS,
    "pull": ("always", "missing", "never"),
    "restart": ("always", "no", "on-failure", "on-unhealthy", "unless-stopped"),
    "signal": _SIGNALS,
    "stop-signal": _SIGNALS,
    "type": ("container", "image", "network", "volume"),
    "uts": ("host",),
    "volume": "volumes",
    "volumes-from": "containers",
    "inspect format": ("json",),
    "format": ("json", "table"),
}
FLAG_VALUES_OF_KIND: dict[str, Values] = {"network": "networks"}

_RUNNING = ["status=running", "status=paused", "status=restarting"]
_FILTERS = {
    **dict.fromkeys(("attach", "exec", "kill", "pause", "port", "stats", "stop", "top"), _RUNNING),
    "start": ["status=created", "status=exited"],
    "unpause": ["status=paused"],
}


def ask_engine(client: "Client", kind: str, command: str) -> list[tuple[str, str]]:
    """Return (name, note) of everything of a kind that the engine has and the command can take.

    Raises:
        CutawayError: the engine does not answer.
    """
    if kind == "containers":
        return _containers(client, command)
    if kind == "images":
        return _images(client)
    if kind == "networks":
        return [(n["Name"], n["Driver"]) for n in _sorted(client.get("/networks"))]
    if kind == "volumes":
        volumes = client.get("/volumes").get("Volumes") or []
        return [(v["Name"], v["Driver"]) for v in _sorted(volumes)]
    everything = (*_containers(client, ""), *_images(client))
    return [*everything, *ask_engine(client, "networks", ""), *ask_engine(client, "volumes", "")]


def _sorted(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda item: str(item["Name"]))


def _containers(client: "Client", command: str) -> list[tuple[str, str]]:
    filters = encode_filters(_FILTERS.get(command.rpartition(" ")[2], []))
    found = client.get("/containers/json", all=True, filters=filters)
    return sorted((c["Names"][0].lstrip("/"), f"{c['Image']}, {c['Status']}") for c in found)


def _images(client: "Client") -> list[tuple[str, str]]:
    names = [(name, i) for i in client.get("/images/json") for name in i.get("RepoTags") or []]
    found = {name: image["Id"].partition(":")[2][:12] for name, image in names}
    # ``busybox`` is typed where ``busybox:latest`` is meant.
    found |= {n.removesuffix(":latest"): i for n, i in found.items() if n.endswith(":latest")}
    found.pop("<none>:<none>", None)
    return sorted(found.items())
