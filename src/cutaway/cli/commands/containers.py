"""``ps``, ``top`` and ``port``."""

from typing import Any

from cutaway.cli.command import PROGRAM, Command, Context
from cutaway.cli.filters import encode_filters
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.table import print_rows, print_table
from cutaway.cli.units import human_ago, human_size, local_time
from cutaway.client.http import quote

PS_FLAGS = """
-a, --all             Show all containers (default shows just running)
-f, --filter filter   Filter output based on conditions provided
    --format string   $FORMAT_TABLE
-n, --last int        Show n last created containers (includes all states) (default -1)
-l, --latest          Show the latest created container (includes all states)
    --no-trunc        Don't truncate output
-q, --quiet           Only display container IDs
-s, --size            Display total file sizes
"""

_COLUMNS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Names": "NAMES",
    "Labels": "LABELS",
    "Label": "LABEL",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Platform": "PLATFORM",
}


def ps(context: Context, flags: Values, arguments: list[str]) -> int:
    """List containers."""
    template = context.list_format(flags, "psFormat")
    if template and template not in {"json", "raw", "table"}:
        _check_template(template)
    last = 1 if flags["latest"] else flags["last"]
    wants_size = flags["size"] or _names_size(template)
    summaries = context.client.get(
        "/containers/json",
        all=flags["all"] or None,
        limit=last if last > 0 else None,
        size=wants_size or None,
        filters=encode_filters(flags["filter"]),
    )
    if flags["quiet"] and not template:
        for summary in summaries:
            print(summary["Id"] if flags["no-trunc"] else summary["Id"][:12])
        return 0
    default = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]
    if flags["size"]:
        default.append("Size")
    rows = [container_row(summary, truncate=not flags["no-trunc"]) for summary in summaries]
    print_rows(
        rows,
        _COLUMNS,
        template=template,
        default=default,
        go_type=_GO_TYPE,
        raw=_RAW + ("size: {{.Size}}\n" if flags["size"] else ""),
    )
    return 0


def _names_size(template: str) -> bool:
    """Tell whether a template needs the size, by its name or with the whole row."""
    return ".Size" in template or "json .}" in template.replace(" }", "}")


_TOP_WIDTH = 20  # of a column of ``top``, as docker has it
_GO_TYPE = "*formatter.ContainerContext"
_RAW = """container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
"""


def _check_template(text: str) -> None:
    """Try the template on no container at all, as docker does before it asks the engine."""
    from cutaway.cli.template import Row, Template, TemplateError, UnreadableTemplate

    try:
        template = Template(text)
        template.render(Row({**dict.fromkeys(_COLUMNS, ""), "Label": lambda name: ""}, _GO_TYPE))
    except UnreadableTemplate as error:
        raise UsageError(f"failed to parse template: {error}") from None
    except TemplateError as error:
        raise UsageError(f"failed to execute template: {error}") from None


def container_row(summary: dict[str, Any], *, truncate: bool) -> dict[str, Any]:
    """Return what templates and the table can name of one container."""
    labels = summary.get("Labels") or {}
    names = [name.removeprefix("/") for name in summary.get("Names") or []]
    own = [name for name in names if "/" not in name] if truncate else names
    command = summary.get("Command", "")
    if truncate and len(command) > 20:
        command = command[:19] + "…"
    mounts = [m.get("Name") or m.get("Source", "") for m in summary.get("Mounts") or []]
    if truncate:
        mounts = [m if len(m) <= 15 else m[:14] + "…" for m in mounts]
    return {
        "ID": summary["Id"][:12] if truncate else summary["Id"],
        "Image": _image_name(summary, truncate=truncate),
        "Command": f'"{command}"',
        "CreatedAt": local_time(summary["Created"]),
        "RunningFor": human_ago(summary["Created"]),
        "Ports": format_ports(summary.get("Ports") or []),
        "State": summary.get("State", ""),
        "Status": summary.get("Status", ""),
        "Size": _size(summary),
        "Names": ",".join(own or names),
        "Labels": ",".join(f"{k}={v}" for k, v in sorted(labels.items())),
        "Label": lambda name: labels.get(name, ""),
        "Mounts": ",".join(mounts),
        "Networks": ",".join(sorted((summary.get("NetworkSettings") or {}).get("Networks") or {})),
        "LocalVolumes": str(sum(m.get("Driver") == "local" for m in summary.get("Mounts") or [])),
        "Platform": None,
    }


def _image_name(summary: dict[str, Any], *, truncate: bool) -> str:
    name = str(summary.get("Image") or "<no image>")
    if truncate and name.startswith("sha256:"):
        return name[7:19]
    return name.partition("@")[0] if truncate else name


def _size(summary: dict[str, Any]) -> str:
    own = human_size(summary.get("SizeRw") or 0)
    whole = summary.get("SizeRootFs") or 0
    return f"{own} (virtual {human_size(whole)})" if whole > 0 else own


def format_ports(ports: list[dict[str, Any]]) -> str:
    """Write ports as docker does: ``0.0.0.0:8080->80/tcp, 7000-7002/tcp``.

    Neighbouring ports with the same address and protocol are joined when they map one to one.
    """
    groups: list[dict[str, Any]] = []
    order = sorted(
        ports,
        key=lambda p: (
            p.get("Type", ""),
            p.get("IP", ""),
            p.get("PrivatePort", 0),
            p.get("PublicPort", 0),
        ),
    )
    for port in order:
        private, public = port["PrivatePort"], port.get("PublicPort", 0)
        key = (port.get("IP", ""), port.get("Type", "tcp"))
        last = groups[-1] if groups else None
        follows = (
            last is not None
            and last["key"] == key
            and last["private"][1] + 1 == private
            and (last["public"][1] + 1 == public if public else last["public"] == (0, 0))
        )
        if follows and last is not None:
            last["private"] = (last["private"][0], private)
            last["public"] = (last["public"][0], public)
        else:
            groups.append({"key": key, "private": (private, private), "public": (public, public)})
    return ", ".join(map(_port_group, groups))


def _port_group(group: dict[str, Any]) -> str:
    address, protocol = group["key"]
    inside = _span(*group["private"])
    if not group["public"][0]:
        return f"{inside}/{protocol}"
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{_span(*group['public'])}->{inside}/{protocol}"


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def top(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print the processes of a container, seen from the host."""
    options = " ".join(arguments[1:]) or None
    answer = context.client.get(f"/containers/{quote(arguments[0])}/top", ps_args=options)
    print_table(answer["Titles"], answer["Processes"] or [], least_width=_TOP_WIDTH)
    return 0


def port(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print where a container's ports are published."""
    state = context.client.get(f"/containers/{quote(arguments[0])}/json")
    published = (state.get("NetworkSettings") or {}).get("Ports") or {}
    if len(arguments) == 1:
        for inside, bindings in sorted(published.items()):
            for binding in bindings or []:
                print(f"{inside} -> {_binding(binding)}")
        return 0
    wanted = arguments[1] if "/" in arguments[1] else f"{arguments[1]}/tcp"
    bindings = published.get(wanted)
    if not bindings:
        raise UsageError(f"Error: No public port '{arguments[1]}' published for {arguments[0]}")
    for binding in bindings:
        print(_binding(binding))
    return 0


def _binding(binding: dict[str, str]) -> str:
    address = binding.get("HostIp", "")
    return f"[{address}]:{binding['HostPort']}" if ":" in address else (
        f"{address}:{binding['HostPort']}"
    )  # fmt: skip


COMMANDS = (
    Command(
        "ps",
        "[OPTIONS]",
        "List containers",
        ps,
        flags=PS_FLAGS,
        at_most=0,
        aliases=("container ls", "container list", "container ps"),
    ),
    Command(
        "top",
        "CONTAINER [ps OPTIONS]",
        "Display the running processes of a container",
        top,
        at_least=1,
        interspersed=False,
        aliases=("container top",),
    ),
    Command(
        "port",
        "CONTAINER [PRIVATE_PORT[/PROTO]]",
        "List port mappings or a specific mapping for the container",
        port,
        details=f"`{PROGRAM} port add` publishes ports of a running container, "
        f"`{PROGRAM} port rm` takes them back.",
        at_least=1,
        at_most=2,
        aliases=("container port",),
    ),
)
