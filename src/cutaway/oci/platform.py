"""Operating system and processor of an image, normalised and matched as Docker does."""

import re
from dataclasses import dataclass, field
from typing import Self

from cutaway.errors import InvalidParameter
from cutaway.oci.codec import JsonObject

_COMPONENT = re.compile(r"[A-Za-z0-9_.-]+")
_KNOWN_OS = frozenset(
    (
        "aix",
        "android",
        "darwin",
        "dragonfly",
        "freebsd",
        "hurd",
        "illumos",
        "ios",
        "js",
        "linux",
        "macos",
        "nacl",
        "netbsd",
        "openbsd",
        "plan9",
        "solaris",
        "wasip1",
        "windows",
        "zos",
    )
)
_KNOWN_ARCHITECTURES = frozenset(
    (
        "386",
        "amd64",
        "amd64p32",
        "arm",
        "armbe",
        "arm64",
        "arm64be",
        "loong64",
        "mips",
        "mipsle",
        "mips64",
        "mips64le",
        "mips64p32",
        "mips64p32le",
        "ppc",
        "ppc64",
        "ppc64le",
        "riscv",
        "riscv64",
        "s390",
        "s390x",
        "sparc",
        "sparc64",
        "wasm",
    )
)
# (architecture, variant) as people and kernels write them → as Go and image indexes do.
_ALIASES = {
    "i386": "386",
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
}
_VARIANTS = {
    ("amd64", "v1"): "",
    ("arm64", "8"): "",
    ("arm64", "v8"): "",
    ("arm", ""): "v7",
    ("arm", "5"): "v5",
    ("arm", "6"): "v6",
    ("arm", "7"): "v7",
    ("arm", "8"): "v8",
}


@dataclass(frozen=True, slots=True)
class Platform(JsonObject):
    """What an image was built for: ``linux/arm/v7``.

    Attributes:
        architecture: Go's GOARCH.
        os: Go's GOOS.
        os_version: Windows only.
        os_features: Windows only.
        variant: of the processor, ``v7``; empty for most.
    """

    architecture: str
    os: str
    os_version: str = field(default="", metadata={"json": "os.version"})
    os_features: tuple[str, ...] = field(default=(), metadata={"json": "os.features"})
    variant: str = ""

    @classmethod
    def parse(cls, text: str, default: "Platform | None" = None) -> Self:
        """Read ``os``, ``architecture``, ``os/architecture`` or ``os/architecture/variant``.

        Args:
            text: what ``--platform`` was given.
            default: the machine's platform, which completes a single word.

        Raises:
            InvalidParameter: an empty or ill-formed component, too many, or an unknown word.
        """
        parts = text.split("/")
        for part in parts:
            if not _COMPONENT.fullmatch(part):
                raise InvalidParameter(
                    f'"{part}" is an invalid component of "{text}": platform specifier component '
                    'must match "^[A-Za-z0-9_.-]+$": invalid argument'
                )
        if len(parts) == 1:
            return cls._parse_word(text, default or Platform("amd64", "linux"))
        if len(parts) > 3:
            raise InvalidParameter(f'"{text}": cannot parse platform specifier: invalid argument')
        return cls(parts[1], parts[0], variant="".join(parts[2:])).normalized()

    @classmethod
    def _parse_word(cls, text: str, default: "Platform") -> Self:
        word = text.lower()
        if word in _KNOWN_OS:
            return cls(default.architecture, word, variant=default.variant).normalized()
        if word in _KNOWN_ARCHITECTURES or word in _ALIASES:
            return cls(word, default.os).normalized()
        raise InvalidParameter(
            f'"{text}": unknown operating system or architecture: invalid argument'
        )

    @classmethod
    def of_machine(cls, machine: str) -> Self:
        """Return the Linux platform of a machine name of uname(2): ``x86_64``, ``armv7l``."""
        if machine.startswith("armv"):
            return cls("arm", "linux", variant="v" + machine[4:5]).normalized()
        return cls(machine, "linux").normalized()

    def normalized(self) -> Self:
        """Return the platform in Docker's spelling: ``aarch64`` is ``arm64``, arm alone is v7."""
        os = self.os.lower()
        architecture, variant = self.architecture.lower(), self.variant.lower()
        if architecture in ("armhf", "armel"):
            variant = "v7" if architecture == "armhf" else "v6"
        if architecture == "i386":
            variant = ""
        architecture = _ALIASES.get(architecture, architecture)
        return type(self)(
            architecture=architecture,
            os="darwin" if os == "macos" else os,
            os_version=self.os_version,
            os_features=self.os_features,
            variant=_VARIANTS.get((architecture, variant), variant),
        )

    def runnable(self) -> "tuple[Platform, ...]":
        """Return the platforms whose images this machine runs natively, the best first.

        A newer processor of a family runs its predecessors' images; amd64 runs 386, arm64 runs
        32-bit arm.
        """
        own = self.normalized()
        found = [own]
        if own.architecture == "amd64":
            found += _predecessors(own, lowest=1)
            found.append(Platform("386", own.os))
        elif own.architecture == "arm":
            found += _predecessors(own, lowest=5)
        elif own.architecture == "arm64":
            found += Platform("arm", own.os, variant="v8").runnable()
        return tuple(found)

    def matches(self, other: "Platform") -> bool:
        """Say whether both name the same platform; OS version and features don't count."""
        one, two = self.normalized(), other.normalized()
        return (one.os, one.architecture, one.variant) == (two.os, two.architecture, two.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def _predecessors(platform: Platform, lowest: int) -> list[Platform]:
    digits = platform.variant.removeprefix("v")
    newest = int(digits) if digits.isdecimal() else 0
    variants = (f"v{number}" for number in range(newest - 1, lowest - 1, -1))
    return [Platform(platform.architecture, platform.os, variant=v).normalized() for v in variants]
