"""Root file systems of Debian, made by mmdebstrap from this machine's mirror, once."""

import fcntl
import os
import subprocess
import zlib
from collections.abc import Sequence
from pathlib import Path

from support.peer import CACHE, mirror

SUITE = "bookworm"
_LEFT_OUT = (
    "/usr/share/doc/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/share/i18n/*",
    # PostgreSQL's just-in-time compiler: a hundred megabytes that it does without
    "/usr/lib/x86_64-linux-gnu/libLLVM*",
    "/usr/lib/x86_64-linux-gnu/libz3*",
    "/usr/lib/postgresql/*/lib/bitcode/*",
)


def debian_root(
    name: str, packages: Sequence[str], *, variant: str = "essential", hooks: Sequence[str] = ()
) -> Path:
    """Make a root file system as a tar, once: about a minute.

    What is left out is left out by dpkg in the image, too.

    Args:
        name: of the file.
        packages: beside the variant's.
        variant: of mmdebstrap: ``essential``, or ``apt`` to install more later.
        hooks: shell commands in the end; ``$1`` is the root.
    """
    words = ["mmdebstrap", "--quiet", f"--variant={variant}"]
    words += [f"--include={','.join(packages)}"]
    words += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    words += ["--dpkgopt=force-unsafe-io"]  # as images on a hub: nobody needs half an image
    words += [f"--customize-hook={hook}" for hook in hooks]
    CACHE.mkdir(parents=True, exist_ok=True)
    path = CACHE / f"{name}-{SUITE}-{zlib.crc32(' '.join(words).encode()):08x}.tar"
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run beside these wait for the same file
        if not path.exists():
            temporary = path.with_suffix(f".{os.getpid()}.tar")
            subprocess.run(
                [*words, SUITE, str(temporary), mirror()], check=True, capture_output=True
            )
            temporary.rename(path)
    return path
