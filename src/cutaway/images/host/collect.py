"""Gather the files that programs need: a tree of paths, following names as the kernel would."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field

from cutaway.errors import InvalidParameter, NotFound
from cutaway.images.host.elf import ElfFile, read_elf
from cutaway.images.host.ld_cache import CacheEntry, find_in_cache, parse_cache

PROGRAM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_MAX_LINKS = 40
_SCRIPT_LINE = 256
# Directories that ld.so looks into when the cache has nothing; multiarch first, as Debian's does.
_DEFAULT_LIBRARY_PATH = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
_MULTIARCH = {62: "x86_64-linux-gnu", 183: "aarch64-linux-gnu"}


class ProgramNotFound(NotFound):
    """A program to put into the image is not on this machine."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"program {name!r} not found on this machine (looked in {':'.join(PROGRAM_PATH)})"
        )
        self.name = name


@dataclass(slots=True)
class Collection:
    """Paths of this machine that go into the image, and how they were found.

    Attributes:
        paths: absolute, of links and files and directories, in no order.
        libraries: soname to path, for the image's own loader cache.
        missing: sonames that were not found, with who needs them.
    """

    paths: set[str] = field(default_factory=set)
    libraries: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    _cache: tuple[CacheEntry, ...] = ()
    _scanned: set[str] = field(default_factory=set)

    @classmethod
    def for_this_machine(cls) -> "Collection":
        """Start an empty one with this machine's loader cache."""
        try:
            with open("/etc/ld.so.cache", "rb") as file:
                return cls(_cache=parse_cache(file.read()))
        except FileNotFoundError:
            return cls()

    def cache_entries(self) -> list[CacheEntry]:
        """Return the loader cache's entries for the libraries collected, in its order."""
        found = set(self.libraries.values())
        return [entry for entry in self._cache if entry.path in found and not entry.hwcap]

    def add_program(self, name: str) -> None:
        """Add a program by name or path, or a directory with all it holds.

        Raises:
            ProgramNotFound: no such program.
        """
        if "/" in name:
            path = os.path.abspath(name)
            if not os.path.exists(path):
                raise ProgramNotFound(name)
            self.add_tree(path)
            return
        for directory in PROGRAM_PATH:
            path = f"{directory}/{name}"
            if os.path.isfile(path) and os.access(path, os.X_OK):
                self.add_file(path)
                return
        raise ProgramNotFound(name)

    def add_tree(self, path: str) -> None:
        """Add a file, or a directory and everything in it, with what it needs."""
        real = self.add_path(path)
        if not os.path.isdir(real):
            self.add_file(path)
            return
        for directory, subdirectories, names in os.walk(real):
            self.paths.add(directory)
            for name in (*subdirectories, *names):
                inner = f"{directory}/{name}"
                if os.path.islink(inner):
                    self.paths.add(inner)  # what it points to is taken if it is inside
                elif name in names:
                    self.add_file(inner)

    def add_path(self, path: str) -> str:
        """Add a path with every symbolic link on its way.

        Returns:
            The real path at the end.

        Raises:
            InvalidParameter: too many links.
        """
        pending = [part for part in path.split("/") if part][::-1]
        resolved = ""
        links = 0
        while pending:
            part = pending.pop()
            if part in (".", ".."):
                resolved = resolved.rpartition("/")[0] if part == ".." else resolved
                continue
            candidate = f"{resolved}/{part}"
            self.paths.add(candidate)
            if not os.path.islink(candidate):
                resolved = candidate
                continue
            links += 1
            if links > _MAX_LINKS:
                raise InvalidParameter(f"{path}: too many levels of symbolic links")
            target = os.readlink(candidate)
            resolved = "" if target.startswith("/") else resolved
            pending += [piece for piece in target.split("/") if piece][::-1]
        return resolved or "/"

    def add_file(self, path: str) -> None:
        """Add a file and, if it is a program, a library or a script, what it needs to run."""
        self._add_file(path, rpaths=())

    def _add_file(self, path: str, rpaths: tuple[str, ...]) -> None:
        real = self.add_path(path)
        if real in self._scanned:
            return
        self._scanned.add(real)
        fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return
            elf = read_elf(fd, real)
            head = b"" if elf else os.pread(fd, _SCRIPT_LINE, 0)
        finally:
            os.close(fd)
        if elf is not None:
            self._add_needs(elf, real, rpaths)
        elif head.startswith(b"#!"):
            self._add_interpreter(head[2:].split(b"\n")[0].split())

    def _add_interpreter(self, words: list[bytes]) -> None:
        """Add a script's interpreter; with ``env``, the program it names too."""
        if not words:
            return
        interpreter, *arguments = map(os.fsdecode, words)
        names = [interpreter]
        if os.path.basename(interpreter) == "env":
            names += [word for word in arguments if not word.startswith("-") and "=" not in word][
                :1
            ]
        for name in names:
            try:
                self.add_program(name)
            except ProgramNotFound:
                self.missing[name] = "a script"

    def _add_needs(self, elf: ElfFile, real: str, rpaths: tuple[str, ...]) -> None:
        if elf.interpreter and os.path.exists(elf.interpreter):
            self.add_file(elf.interpreter)
        origin = os.path.dirname(real)
        own_rpath = () if elf.runpath else _with_origin(elf.rpath, origin)
        inherited = (*own_rpath, *rpaths)
        for soname in elf.needed:
            searched = (*(() if elf.runpath else inherited), *_with_origin(elf.runpath, origin))
            found = self._find_library(soname, elf, searched)
            if found is None:
                self.missing[soname] = real
                continue
            self.libraries[soname] = found
            self._add_file(found, inherited)

    def _find_library(self, soname: str, elf: ElfFile, searched: Iterable[str]) -> str | None:
        """Look where ld.so would: RPATH or RUNPATH, the cache, the default directories."""
        if "/" in soname:
            return soname if os.path.exists(soname) else None
        multiarch = _MULTIARCH.get(elf.machine)
        defaults = (
            *((f"/lib/{multiarch}", f"/usr/lib/{multiarch}") if multiarch else ()),
            *_DEFAULT_LIBRARY_PATH,
        )
        candidates = [f"{directory}/{soname}" for directory in searched]
        candidates += find_in_cache(self._cache, soname, elf.machine)
        candidates += [f"{directory}/{soname}" for directory in defaults]
        return next((path for path in candidates if _fits(path, elf)), None)


def _with_origin(paths: tuple[str, ...], origin: str) -> tuple[str, ...]:
    return tuple(p.replace("${ORIGIN}", origin).replace("$ORIGIN", origin) for p in paths)


def _fits(path: str, wanted: ElfFile) -> bool:
    """Whether a library is there and of the same machine; ld.so passes over others."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        found = read_elf(fd, path)
    except InvalidParameter:
        return False
    finally:
        os.close(fd)
    return found is not None and (found.machine, found.is_64_bit) == (
        wanted.machine,
        wanted.is_64_bit,
    )
