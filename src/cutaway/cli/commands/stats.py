"""``stats``."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import Values
from cutaway.cli.screen.table import print_rows
from cutaway.cli.units import binary_size, human_size
from cutaway.client import ApiError
from cutaway.client.http import quote

_COLUMNS = {
    "ID": "CONTAINER ID",
    "Container": "CONTAINER",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_DEFAULT = ["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"]
_PARALLEL = 16


def stats(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print what containers use, once or again and again."""
    template = context.list_format(flags, "statsFormat")
    while True:
        names = arguments or _running(context, everything=flags["all"])
        rows = _sample(context, names, truncate=not flags["no-trunc"])
        if not flags["no-stream"] and sys.stdout.isatty():
            sys.stdout.write("\033[H\033[J")
        print_rows(
            rows, _COLUMNS, template=template, default=_DEFAULT, go_type="*container.statsContext"
        )
        sys.stdout.flush()
        if flags["no-stream"]:
            return 0
        time.sleep(0.5)


def _running(context: Context, *, everything: bool) -> list[str]:
    return [c["Id"] for c in context.client.get("/containers/json", all=everything or None)]


def _sample(context: Context, names: list[str], *, truncate: bool) -> list[dict[str, Any]]:
    def read(name: str) -> dict[str, Any] | None:
        try:
            document: dict[str, Any] = context.client.get(
                f"/containers/{quote(name)}/stats", stream=False
            )
        except ApiError as error:
            if error.status == 404 and name not in names:
                return None
            raise
        return document

    with ThreadPoolExecutor(_PARALLEL) as pool:
        documents = [d for d in pool.map(read, names) if d]
    return [stats_row(document, truncate=truncate) for document in documents]


def stats_row(document: dict[str, Any], *, truncate: bool) -> dict[str, Any]:
    """Compute what docker shows from one sample and the one before it."""
    memory = document.get("memory_stats") or {}
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    used = max(memory.get("usage", 0) - cache, 0)
    limit = memory.get("limit", 0)
    networks = (document.get("networks") or {}).values()
    received = sum(n["rx_bytes"] for n in networks)
    sent = sum(n["tx_bytes"] for n in networks)
    blocks = (document.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    read = sum(b["value"] for b in blocks if b["op"].lower() == "read")
    written = sum(b["value"] for b in blocks if b["op"].lower() == "write")
    identity = document.get("id", "")
    return {
        "ID": identity[:12] if truncate else identity,
        "Container": identity[:12] if truncate else identity,
        "Name": document.get("name", "").removeprefix("/"),
        "CPUPerc": f"{cpu_percent(document):.2f}%",
        "MemUsage": f"{binary_size(used)} / {binary_size(limit)}",
        "MemPerc": f"{100 * used / limit if limit else 0:.2f}%",
        "NetIO": f"{human_size(received)} / {human_size(sent)}",
        "BlockIO": f"{human_size(read)} / {human_size(written)}",
        "PIDs": str((document.get("pids_stats") or {}).get("current", 0)),
    }


def cpu_percent(document: dict[str, Any]) -> float:
    """Return the CPU use between the two samples in per cent of one CPU."""
    now, before = document.get("cpu_stats") or {}, document.get("precpu_stats") or {}
    used = _usage(now) - _usage(before)
    system = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    cpus = now.get("online_cpus") or 1
    return 100.0 * cpus * used / system if used > 0 and system > 0 else 0.0


def _usage(sample: dict[str, Any]) -> int:
    return int((sample.get("cpu_usage") or {}).get("total_usage", 0))


COMMANDS = (
    Command(
        "stats",
        "[OPTIONS] [CONTAINER...]",
        "Display a live stream of container(s) resource usage statistics",
        stats,
        flags="""
-a, --all             Show all containers (default shows just running)
    --format string   $FORMAT_TABLE
    --no-stream       Disable streaming stats and only pull the first result
    --no-trunc        Do not truncate output
""",
        aliases=("container stats",),
    ),
)
