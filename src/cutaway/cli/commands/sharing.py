"""``image tree``, ``diff`` and ``squash``: what images have in common, and what that is worth."""

from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.moving_line import MovingLine
from cutaway.cli.screen.progress import show_progress
from cutaway.cli.units import human_size

_STEP_CELLS = 48


class Layer:
    """One layer in the tree of all: who ends here, and what lies on top.

    Attributes:
        size_bytes: of its own.
        step: the instruction that made it.
        images: names of the images whose top it is.
        above: the layers that some image has on top of it, by diff id.
    """

    def __init__(self, size_bytes: int, step: str) -> None:
        self.size_bytes = size_bytes
        self.step = step
        self.images: list[str] = []
        self.above: dict[str, Layer] = {}


def tree(context: Context, flags: Values, arguments: list[str]) -> int:
    """Show images by the layers they share; each layer is on the disk once."""
    root = Layer(0, "")
    for summary in context.client.get("/images/json"):
        names = [n for n in summary.get("RepoTags") or [] if n != "<none>:<none>"]
        identity = summary["Id"]
        if arguments and not _wanted(arguments, names, identity):
            continue
        itself = context.client.get("/cutaway/images/diff", old=identity, new=identity)
        top = _plant(root, itself["Layers"])
        top.images += names or [identity.removeprefix("sha256:")[:12]]
    if arguments and not root.above:
        raise UsageError(f"No such image: {' '.join(arguments)}")
    for line in tree_lines(root):
        print(line)
    return 0


def _wanted(arguments: list[str], names: list[str], identity: str) -> bool:
    known = {*names, *(n.removesuffix(":latest") for n in names)}
    known |= {name.rpartition(":")[0] for name in names}  # every tag of a repository
    short = identity.removeprefix("sha256:")
    return any(word in known or short.startswith(word) for word in arguments)


def _plant(root: Layer, layers: list[dict[str, Any]]) -> Layer:
    """Put an image's layers into the tree; returns the top one."""
    top = root
    for layer in layers:
        top = top.above.setdefault(layer["DiffID"], Layer(layer["Size"], layer["CreatedBy"]))
    return top


def tree_lines(layer: Layer, indent: str = "") -> list[str]:
    """Draw what lies above a layer; only where images part the lines move to the right."""
    lines = []
    above = list(layer.above.values())
    for index, inner in enumerate(above):
        is_last = index == len(above) - 1
        mark, deeper = ("", "") if len(above) == 1 else ("└─", "  ") if is_last else ("├─", "│ ")
        lines.append(f"{indent}{mark}{human_size(inner.size_bytes):>8}  {_shortened(inner.step)}")
        lines += [f"{indent}{deeper}          ● {name}" for name in sorted(inner.images)]
        lines += tree_lines(inner, indent + deeper)
    return lines


def _shortened(step: str) -> str:
    text = " ".join(step.split()) or "(its history does not say)"
    return text if len(text) <= _STEP_CELLS else text[: _STEP_CELLS - 1] + "…"


def diff(context: Context, flags: Values, arguments: list[str]) -> int:
    """Compare two images: their layers, then the files that differ."""
    old, new = arguments
    with MovingLine(f"Comparing {old} and {new}"):
        found = context.client.get("/cutaway/images/diff", old=old, new=new)
    if flags["json"]:
        import json

        print(json.dumps(found, indent=2))
        return 0
    for line in diff_lines(found, old, new):
        print(line)
    return 0


_SIDES = {"shared": "=", "old": "-", "new": "+"}


def diff_lines(found: dict[str, Any], old: str, new: str) -> list[str]:
    """Lay a comparison out: ``=`` both have it, ``-`` only the old image, ``+`` only the new."""
    lines = [f"Layers (= both, - only {old}, + only {new}):"]
    numbers: dict[str, int] = {}
    for number, layer in enumerate(found["Layers"], 1):
        numbers[layer["DiffID"]] = number
        mark, size = _SIDES[layer["Side"]], human_size(layer["Size"])
        lines.append(f"  {mark} {number:>2}  {size:>8}  {_shortened(layer['CreatedBy'])}")
    if not found["Files"]:
        return [*lines, "", "The files are the same."]
    lines += ["", "Files (A added, C changed, D deleted; in which layer):"]
    for file in found["Files"]:
        before, after = human_size(file["OldSize"]), human_size(file["NewSize"])
        size = {"A": after, "D": before}.get(file["Kind"], f"{before} -> {after}")
        layer = numbers.get(file["Layer"], 0)
        lines.append(f"  {file['Kind']} {layer:>2}  {file['Path']}  ({size})")
    kinds = [file["Kind"] for file in found["Files"]]
    added, changed, deleted = (kinds.count(kind) for kind in "ACD")
    return [*lines, "", f"{added} added, {changed} changed, {deleted} deleted"]


def squash(context: Context, flags: Values, arguments: list[str]) -> int:
    """Make one layer of an image, or of what it has above a base; tells what that costs."""
    (image,) = arguments
    body = {"Image": image, "Keep": flags["keep"], "Name": flags["tag"]}
    with MovingLine(f"Squashing {image}", quiet=flags["quiet"]):
        response = context.client.request("POST", "/cutaway/images/squash", body=body)
        report = show_progress(response.documents(), None)[-1]
    if flags["quiet"]:
        print(report["Id"])
    else:
        print("\n".join(squash_lines(report)))
    return 0


def squash_lines(report: dict[str, Any]) -> list[str]:
    """Say what was made, what was gained and what was lost."""
    gained = report["SizeBefore"] - report["SizeAfter"]
    steps = report["MergedSteps"]
    lost = [
        f"{len(steps)} steps of the history are one layer now; `cutaway history` can't tell them "
        "apart"
    ]
    lost += [
        f"sharing with {other['Name']}: {human_size(other['Size'])} are on the disk twice now"
        for other in report["LostSharing"]
    ]
    if report["PullAgain"]:
        lost.append(
            "pull reuse: who has the old image fetches "
            f"{human_size(report['PullAgain'])} again for the new one"
        )
    if report["LostCacheSteps"]:
        lost.append(f"{report['LostCacheSteps']} cached build steps no longer lead to this image")
    return [
        f"Made {report['Id']}",
        f"  layers  {report['LayersBefore']} -> {report['LayersAfter']}",
        f"  size    {human_size(report['SizeBefore'])} -> {human_size(report['SizeAfter'])}",
        "Gained:",
        f"  {human_size(gained)} that upper layers had deleted or replaced"
        if gained > 0
        else "  nothing: no layer deleted or replaced what another had",
        "Lost:",
        *(f"  {line}" for line in lost),
    ]


COMMANDS = (
    Command(
        "image tree",
        "[IMAGE...]",
        "Show images by the layers they share",
        tree,
        details="Every line is a layer, which is on the disk once however many images have it; a "
        "dot\nnames the images that end there.",
    ),
    Command(
        "image diff",
        "[OPTIONS] IMAGE IMAGE",
        "Compare two images: layers, and files by layer",
        diff,
        flags="    --json   Print the comparison as JSON",
        at_least=2,
        at_most=2,
    ),
    Command(
        "image squash",
        "[OPTIONS] IMAGE",
        "Make one layer of those above a base, and tell what is lost",
        squash,
        flags="""
    --keep string   An image whose layers stay as they are
-q, --quiet         Only print the new image's ID
-t, --tag string    Name of the new image (IMAGE itself by default)
""",
        at_least=1,
        at_most=1,
    ),
)
