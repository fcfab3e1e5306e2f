"""Compiled seccomp programs, kept in memory and in files: compiling takes longer than a start.

A file holds the profile's JSON and the program; it is used only if the JSON is the same byte for
byte, so that the file's short name needs to be no secure hash. The directory is the engine's own
(0700, tmpfs): whoever can write it is root already.
"""

import binascii
import contextlib
import json
import os
from typing import Any

from cutaway.files import write_atomic
from cutaway.oci.runtime_spec import Seccomp

_SEPARATOR = b"\n"


class SeccompCache:
    """Programs by profile and machine.

    Args:
        directory: where files are kept, or None: memory only.
    """

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory
        self._programs: dict[tuple[Seccomp, str], bytes] = {}
        self._seen: set[str] = set()
        self._seen_mtime_ns = -1

    def program(self, seccomp: Seccomp, machine: str) -> bytes:
        """Return the program of a profile, compiling it at most once.

        Raises:
            InvalidParameter: the profile can't be compiled.
        """
        key = (seccomp, machine)
        found = self._programs.get(key)
        if found is None:
            document = _encode(seccomp, machine)
            found = self._read(_file_name(document), document)
            if found is None:
                from cutaway.security.seccomp import compile_filter  # only when it must be

                found = compile_filter(seccomp, machine)
                self._write(document, found)
            self._programs[key] = found
        return found

    def refresh(self) -> None:
        """Load what other processes compiled since; one stat(2) when there is nothing new."""
        if self._directory is None:
            return
        try:
            mtime_ns = os.stat(self._directory).st_mtime_ns
        except FileNotFoundError:
            return
        if mtime_ns == self._seen_mtime_ns:
            return
        self._seen_mtime_ns = mtime_ns
        for name in os.listdir(self._directory):
            if name.endswith(".bpf") and name not in self._seen:
                self._seen.add(name)
                with contextlib.suppress(OSError, ValueError, KeyError):
                    self._load(name)

    def _load(self, name: str) -> None:
        with open(f"{self._directory}/{name}", "rb") as file:
            document, _, program = file.read().partition(_SEPARATOR)
        facts = json.loads(document)
        self._programs[Seccomp.from_json(facts["seccomp"]), facts["machine"]] = program

    def _read(self, name: str, document: bytes) -> bytes | None:
        if self._directory is None:
            return None
        try:
            with open(f"{self._directory}/{name}", "rb") as file:
                kept, _, program = file.read().partition(_SEPARATOR)
        except FileNotFoundError:
            return None
        return program if kept == document else None

    def _write(self, document: bytes, program: bytes) -> None:
        if self._directory is None:
            return
        # without the file the next container compiles again: no reason to fail this one
        with contextlib.suppress(OSError):
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            path = f"{self._directory}/{_file_name(document)}"
            write_atomic(path, document + _SEPARATOR + program, durable=False)


def _encode(seccomp: Seccomp, machine: str) -> bytes:
    facts: dict[str, Any] = {"machine": machine, "seccomp": seccomp.to_json()}
    return json.dumps(facts, separators=(",", ":")).encode()


def _file_name(document: bytes) -> str:
    return f"{binascii.crc32(document):08x}-{len(document)}.bpf"
