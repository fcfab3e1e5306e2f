"""``cutaway nodes``: make hosts, start engines, tell where they are, wait, take all away."""

import shutil
import signal
import sys
import tempfile
from pathlib import Path

from cutaway.nodes.node import Node
from cutaway.nodes.underlay import MOST_HOSTS, Underlay


def main(arguments: list[str]) -> int:
    """Run: ``N DIRECTORY [ENGINE FLAGS]``; an empty directory is a new one below /tmp."""
    count, place, *flags = arguments
    if not count.isdecimal() or not 1 <= int(count) <= MOST_HOSTS:
        print(f"cutaway nodes: {count!r} is no number from 1 to {MOST_HOSTS}", file=sys.stderr)
        return 125
    # Held until the nodes are made: an end half way would leave some of them.
    stopping = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    directory = Path(tempfile.mkdtemp(prefix="cutaway-nodes-", dir=place or None))
    directory.chmod(0o711)
    underlay = Underlay()
    nodes: list[Node] = []
    try:
        for _ in range(int(count)):
            host = underlay.add_host()
            nodes.append(Node(host, directory, group=directory.name, flags=tuple(flags)))
        for node in nodes:
            node.start()
        for node in nodes:
            node.wait()
        print(table(nodes), flush=True)
        signal.sigwait(stopping)
    except OSError as error:
        print(f"cutaway nodes: {error}", file=sys.stderr)
        return 1
    finally:
        for node in nodes:
            node.stop()
        underlay.close()
        shutil.rmtree(directory, ignore_errors=True)
    return 0


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
