"""``version``, ``info`` and ``events``."""

import sys
from typing import Any

from cutaway import __version__
from cutaway.cli.command import Command, Context
from cutaway.cli.filters import encode_filters
from cutaway.cli.flags import UnreadableTemplate, Values
from cutaway.cli.units import binary_size
from cutaway.cli.when import parse_moment
from cutaway.client import ApiError, EngineUnreachable

_FORMAT = "-f, --format string   $FORMAT\n"


def version(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print the versions of the command and of the engine."""
    own = {
        "Version": __version__,
        "APIVersion": "1.51",
        "PythonVersion": ".".join(map(str, sys.version_info[:3])),
        "Os": "linux",
        "Arch": _architecture(),
    }
    problem: Exception | None = None
    server: dict[str, Any] | None = None
    try:
        server = context.client.get("/version")
    except (EngineUnreachable, ApiError) as error:
        problem = error
    if flags["format"]:
        document = {"Client": own, "Server": server}
        print(render_document(document, flags["format"], "system.versionInfo", name="version"))
    else:
        print(_version_text(own, server), end="")
    if problem is not None:
        raise problem
    return 0


def _architecture() -> str:
    import os

    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def _version_text(own: dict[str, Any], server: dict[str, Any] | None) -> str:
    lines = [
        "Client: cutaway",
        f" Version:           {own['Version']}",
        f" API version:       {own['APIVersion']}",
        f" Python version:    {own['PythonVersion']}",
        f" OS/Arch:           {own['Os']}/{own['Arch']}",
    ]
    if server is not None:
        lines += ["", f"Server: {(server.get('Platform') or {}).get('Name', 'Engine')}"]
        for component in server.get("Components") or []:
            details = component.get("Details") or {}
            lines += [f" {component['Name']}:", f"  Version:          {component['Version']}"]
            if "ApiVersion" in details:
                least = details.get("MinAPIVersion", "")
                details = {
                    "API version": f"{details['ApiVersion']} (minimum version {least})",
                    **{
                        k: v for k, v in details.items() if k not in {"ApiVersion", "MinAPIVersion"}
                    },
                }
            lines += [f"  {name + ':':<18}{value}" for name, value in details.items()]
    return "\n".join(lines) + "\n"


def info(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print what the engine says of itself and its host."""
    facts = context.client.get("/info")
    facts["ClientInfo"] = {"Version": __version__, "Debug": context.debug}
    if flags["format"]:
        print(render_document(facts, flags["format"], "system.dockerInfo"))
        return 0
    print(_info_text(facts), end="")
    for warning in facts.get("Warnings") or []:
        print(warning, file=sys.stderr)
    return 0


def _info_text(facts: dict[str, Any]) -> str:
    lines = ["Client: cutaway", f" Version:    {__version__}", "", "Server:"]
    lines += [
        f" Containers: {facts['Containers']}",
        f"  Running: {facts['ContainersRunning']}",
        f"  Paused: {facts['ContainersPaused']}",
        f"  Stopped: {facts['ContainersStopped']}",
        f" Images: {facts['Images']}",
        f" Server Version: {facts['ServerVersion']}",
        f" Storage Driver: {facts['Driver']}",
    ]
    lines += [f"  {name}: {value}" for name, value in facts.get("DriverStatus") or []]
    plugins = facts.get("Plugins") or {}
    lines += [
        f" Logging Driver: {facts.get('LoggingDriver', '')}",
        f" Cgroup Driver: {facts.get('CgroupDriver', '')}",
        f" Cgroup Version: {facts.get('CgroupVersion', '')}",
        " Plugins:",
        f"  Volume: {' '.join(plugins.get('Volume') or [])}",
        f"  Network: {' '.join(plugins.get('Network') or [])}",
        f"  Log: {' '.join(plugins.get('Log') or [])}",
        f" Runtimes: {' '.join(facts.get('Runtimes') or {})}",
        f" Default Runtime: {facts.get('DefaultRuntime', '')}",
        f" Init Binary: {facts.get('InitBinary', '')}",
        " Security Options:",
    ]
    for option in facts.get("SecurityOptions") or []:
        name, *rest = option.split(",")
        lines.append(f"  {name.removeprefix('name=')}")
        lines += [f"   {part.partition('=')[0].title()}: {part.partition('=')[2]}" for part in rest]
    lines += [
        f" Kernel Version: {facts.get('KernelVersion', '')}",
        f" Operating System: {facts.get('OperatingSystem', '')}",
        f" OSType: {facts.get('OSType', '')}",
        f" Architecture: {facts.get('Architecture', '')}",
        f" CPUs: {facts.get('NCPU', 0)}",
        f" Total Memory: {binary_size(facts.get('MemTotal', 0))}",
        f" Name: {facts.get('Name', '')}",
        f" ID: {facts.get('ID', '')}",
        f" Docker Root Dir: {facts.get('DockerRootDir', '')}",
        f" Debug Mode: {str(facts.get('Debug', False)).lower()}",
        *_configured(facts),
    ]
    return "\n".join(lines) + "\n"


def _configured(facts: dict[str, Any]) -> list[str]:
    """Return the last lines of ``info``: what the engine was told."""
    registries = facts.get("RegistryConfig") or {}
    insecure = [n for n, one in (registries.get("IndexConfigs") or {}).items() if not one["Secure"]]
    networks = registries.get("InsecureRegistryCIDRs") or []
    lines = [
        f" {kind} Proxy: {facts[key]}"
        for kind, key in (("HTTP", "HttpProxy"), ("HTTPS", "HttpsProxy"), ("No", "NoProxy"))
        if facts.get(key)
    ]
    lines += _titled("Labels", facts.get("Labels"))
    lines.append(f" Experimental: {str(facts.get('ExperimentalBuild', False)).lower()}")
    lines += _titled("Insecure Registries", [*insecure, *networks])
    lines += _titled("Registry Mirrors", registries.get("Mirrors"))
    lines.append(f" Live Restore Enabled: {str(facts.get('LiveRestoreEnabled', False)).lower()}")
    pools = facts.get("DefaultAddressPools") or []
    lines += _titled(
        "Default Address Pools", [f"  Base: {pool['Base']}, Size: {pool['Size']}" for pool in pools]
    )
    return lines


def _titled(title: str, items: list[str] | None) -> list[str]:
    return [f" {title}:", *(f"  {item}" for item in items)] if items else []


def events(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print events as they happen, or those between two moments."""
    response = context.client.request(
        "GET",
        "/events",
        query={
            "since": parse_moment(flags["since"], flag="") if flags["since"] else None,
            "until": parse_moment(flags["until"], flag="") if flags["until"] else None,
            "filters": encode_filters(flags["filter"]),
        },
    )
    form = flags["format"]
    for event in response.documents():
        print(render_event(event, form) if form else event_line(event), flush=True)
    return 0


def render_event(event: dict[str, Any], form: str) -> str:
    """Write an event by a template, or as JSON.

    Raises:
        UnreadableTemplate: the template doesn't parse, or names what an event does not have.
    """
    from cutaway.cli.template import TemplateError

    try:
        return _rendered(event, form, "*events.Message")
    except (TemplateError, UnreadableTemplate) as error:
        raise UnreadableTemplate(f"Error parsing format: {error}") from None


def render_document(document: dict[str, Any], form: str, go_type: str, *, name: str = "") -> str:
    """Write one document by a template, or as JSON.

    Raises:
        UnreadableTemplate: the template doesn't parse.
        TemplateError: it names what the document does not have.
    """
    from cutaway.cli.template import TemplateError

    try:
        return _rendered(document, form, go_type, name=name)
    except UnreadableTemplate as error:
        raise UnreadableTemplate(f"template parsing error: {error}") from None
    except TemplateError:
        print()
        raise


def _rendered(document: dict[str, Any], form: str, go_type: str, *, name: str = "") -> str:
    from cutaway.cli.template import Template, go_json
    from cutaway.cli.template.types import typed

    value = typed(document, go_type)
    return go_json(value) if form == "json" else Template(form, name=name).render(value)


def event_line(event: dict[str, Any]) -> str:
    """Write an event as ``TIME TYPE ACTION ID (name=value, …)``."""
    import time

    moment_ns = event.get("timeNano") or event["time"] * 10**9
    moment = time.localtime(moment_ns // 10**9)
    zone = time.strftime("%z", moment)
    offset = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", moment)
    actor = event.get("Actor") or {}
    attributes = ", ".join(f"{k}={v}" for k, v in sorted((actor.get("Attributes") or {}).items()))
    return (
        f"{stamp}.{moment_ns % 10**9:09d}{offset} {event['Type']} "
        f"{event['Action']} {actor.get('ID', '')}" + (f" ({attributes})" if attributes else "")
    )


def dial_stdio(context: Context, flags: Values, arguments: list[str]) -> int:
    """Join standard input and output to the engine's socket: how ``ssh://`` clients reach it."""
    from cutaway.cli.screen.terminal import Session
    from cutaway.client import Hijacked

    connection = context.client.host.connect()
    Session(Hijacked(connection, b"", multiplexed=False), tty=True, stdin=True).run()
    return 0


COMMANDS = (
    Command(
        "system dial-stdio",
        "",
        "Proxy the stdio stream to the daemon connection. Should not be invoked manually.",
        dial_stdio,
        at_most=0,
    ),
    Command(
        "version",
        "[OPTIONS]",
        "Show the Docker version information",
        version,
        flags=_FORMAT,
        at_most=0,
    ),
    Command(
        "info",
        "[OPTIONS]",
        "Display system-wide information",
        info,
        flags=_FORMAT,
        at_most=0,
        aliases=("system info",),
    ),
    Command(
        "events",
        "[OPTIONS]",
        "Get real time events from the server",
        events,
        flags=f"""
-f, --filter filter   Filter output based on conditions provided
{_FORMAT}
    --since string    Show all events created since timestamp
    --until string    Stream events until this timestamp
""".replace("-f, --format", "    --format"),
        at_most=0,
        aliases=("system events",),
    ),
)
