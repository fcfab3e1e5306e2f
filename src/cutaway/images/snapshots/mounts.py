"""Which mounts show a stack of snapshots as one file system."""

from cutaway.errors import InvalidParameter
from cutaway.images.mount import Mount

# One page of options with its NUL; overlay itself stacks at most 500 layers (OVL_MAX_STACK).
_MAX_DATA = 4095
_MAX_LOWER = 500
_SEPARATORS = frozenset(":,\\\n ")

# index and metacopy would make an upper directory useless on another kernel or after a copy;
# following redirects would trust an attribute that says where in the layers below to look.
_ALWAYS = ("index=off", "metacopy=off", "redirect_dir=nofollow")


def check_root(root: str) -> None:
    """Refuse a root whose path overlay's options can't hold.

    Raises:
        InvalidParameter: relative, or with one of the characters that separate options.
    """
    if not root.startswith("/") or _SEPARATORS & set(root):
        raise InvalidParameter(
            f"the data root {root!r} can't hold snapshots: it must be an absolute path "
            "without colon, comma, backslash or blank"
        )


def plan_bind(source: str, *, is_read_only: bool) -> tuple[Mount, ...]:
    """Return the mount of a snapshot that is one directory only."""
    return (Mount("bind", source, ("rbind", "ro" if is_read_only else "rw")),)


def plan_overlay(
    root: str, lowers: list[int], *, upper: int | None, is_volatile: bool
) -> tuple[Mount, ...]:
    """Return the mount of a stack of snapshots.

    Args:
        root: directory of the snapshots.
        lowers: numbers of the layers, topmost first; at least one, two without ``upper``.
        upper: number of the active snapshot; None for a read-only view.
        is_volatile: no fsync reaches the disk: for file systems that die with their container.

    Raises:
        InvalidParameter: more layers than overlay can stack.
    """
    if len(lowers) > _MAX_LOWER:
        raise InvalidParameter(
            f"the image has {len(lowers)} layers; the kernel's overlay stacks at most {_MAX_LOWER}"
        )
    for directory, prefix in ((None, f"{root}/"), (root, "")):
        options = _overlay_options(prefix, lowers, upper, is_volatile)
        if len(",".join(options)) <= _MAX_DATA:
            return (Mount("overlay", "overlay", options, directory),)
    raise InvalidParameter(
        f"the image has {len(lowers)} layers: their paths do not fit into one mount"
    )


def _overlay_options(
    prefix: str, lowers: list[int], upper: int | None, is_volatile: bool
) -> tuple[str, ...]:
    lowerdir = "lowerdir=" + ":".join(f"{prefix}{number}/fs" for number in lowers)
    if upper is None:
        return (lowerdir, *_ALWAYS, "ro")
    writable = (f"upperdir={prefix}{upper}/fs", f"workdir={prefix}{upper}/work")
    return (lowerdir, *writable, *_ALWAYS, *(("volatile",) if is_volatile else ()))
