"""``cutaway nodes``: make hosts, start engines, tell where they are, wait, take all away."""

import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from cutaway.nodes.node import Node
from cutaway.nodes.underlay import MOST_HOSTS, Underlay


def main(arguments: list[str]) -> int:
    """Run: ``N DIRECTORY [ENGINE FLAGS]``; an empty directory is a new one below /tmp."""
    count, place, *flags = arguments
    mistake = _find_mistake(count, place)
    if mistake:
        print(f"cutaway nodes: {mistake}", file=sys.stderr)
        return 125
    # Held until the nodes are made: an end half way would leave some of them.
    stopping = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    try:
        with ExitStack() as stack:
            nodes = _make_nodes(int(count), place, flags, stack)
            print(table(nodes), flush=True)
            signal.sigwait(stopping)
    except OSError as error:
        print(f"cutaway nodes: {error}", file=sys.stderr)
        return 1
    return 0


def _find_mistake(count: str, place: str) -> str:
    """Say what is wrong with the arguments, or nothing."""
    if not count.isdecimal() or not 1 <= int(count) <= MOST_HOSTS:
        return f"{count!r} is no number from 1 to {MOST_HOSTS}"
    if place and not Path(place).is_dir():
        return f"--directory {place}: there is no such directory, make it first"
    return ""


def _make_nodes(count: int, place: str, flags: Sequence[str], stack: ExitStack) -> list[Node]:
    """Make and start the nodes; what takes them away again is left with the stack."""
    directory = Path(tempfile.mkdtemp(prefix="cutaway-nodes-", dir=place or None))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    directory.chmod(0o711)
    underlay = Underlay()
    stack.callback(underlay.close)
    nodes = []
    for _ in range(count):
        node = Node(underlay.add_host(), directory, group=directory.name, flags=tuple(flags))
        stack.callback(node.stop)
        nodes.append(node)
    for node in nodes:
        node.start()
    for node in nodes:
        node.wait()
    return nodes


def table(nodes: list[Node]) -> str:
    """Tell where the nodes are, and how to use them."""
    lines = [f"{'NODE':<6}{'ADDRESS':<14}{'IPV6':<12}{'PID':<9}DOCKER_HOST"]
    lines += [
        f"{n.host.number:<6}{n.host.address:<14}{n.host.address_v6:<12}"
        f"{n.host.keeper.pid:<9}unix://{n.socket}"
        for n in nodes
    ]
    lines.append("A shell on a node: nsenter -t PID -n -m. End all: Ctrl-C.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
