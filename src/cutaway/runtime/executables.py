"""Finding the program to run, and saying why it does not run. Pure but for the look-up itself.

Docker's clients match the texts: ``executable file not found in $PATH`` and ``no such file or
directory`` end a ``docker run`` with 127, ``permission denied`` and ``is a directory`` with 126.
"""

import errno
import os
import stat
import struct

from cutaway.runtime.failures import (
    NOT_EXECUTABLE_EXIT_CODE,
    NOT_FOUND_EXIT_CODE,
    RuntimeFailure,
)

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
HEADER_BYTES = 4096
_LATE_OPTION = (
    "it stands where the program is expected: options come before the image (of run, create) or "
    "the container (of exec)"
)

_ELF_MACHINES = {
    2: "sparc",
    3: "386",
    8: "mips",
    20: "ppc",
    21: "ppc64le",
    22: "s390x",
    40: "arm",
    62: "amd64",
    183: "arm64",
    243: "riscv64",
    258: "loong64",
}
_MACHINE_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def find_program(name: str, search_path: str) -> str:
    """Return the path of a program as execvp(3) finds it, by stat(2) alone.

    Called inside the container, as its user, so that what is found is what may be run.

    Raises:
        RuntimeFailure: exit code 127 (not there) or 126 (there, but not to be executed), in
            Docker's words.
    """
    if "/" in name:
        reason = _why_not_executable(name)
        if reason is None:
            return name
        raise _refusal(name, reason, in_path=False)
    found = errno.ENOENT
    for directory in search_path.split(":"):
        path = f"{directory or '.'}/{name}"
        reason = _why_not_executable(path)
        if reason is None:
            return path
        if reason in (errno.EACCES, errno.EISDIR) and found == errno.ENOENT:
            found = reason if reason == errno.EACCES else found
    raise _refusal(name, found, in_path=True)


def _explain_permission(path: str) -> str:
    try:
        is_noexec = os.statvfs(path).f_flag & os.ST_NOEXEC
        is_executable = os.stat(path).st_mode & 0o111
    except OSError:
        return "the user may not search a directory above it"
    if is_noexec:
        return f"{path} is on a file system mounted noexec: mount it without, or run a copy"
    if not is_executable:
        return f"{path} lacks the execute permission: chmod +x it in the image"
    return f"{path} may not be executed by this user"


def _why_not_executable(path: str) -> int | None:
    """Return an errno that execve(2) would give for want of a file, or None."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error.errno or errno.ENOENT
    if stat.S_ISDIR(mode):
        return errno.EISDIR
    # with the effective ids, as execve does: access(2) would ask for the real ones
    if not os.access(path, os.X_OK, effective_ids=True) or not mode & 0o111:
        return errno.EACCES
    return None


def _refusal(name: str, number: int, *, in_path: bool) -> RuntimeFailure:
    # "$PATH" when it was searched for, "stat NAME" when it was named, both as Go's exec package
    if number == errno.ENOENT or number == errno.ENOTDIR:
        if in_path:
            what = f'exec: "{name}": executable file not found in $PATH'
            hint = _LATE_OPTION if name.startswith("-") else ""
            return exec_failure(number, what, NOT_FOUND_EXIT_CODE, hint)
        what = f'exec: "{name}": stat {name}: {_go_text(number)}'
        return exec_failure(number, what, NOT_FOUND_EXIT_CODE)
    text = f'exec: "{name}": {_go_text(number)}'
    hint = _explain_permission(name) if number == errno.EACCES and not in_path else ""
    return exec_failure(number, text, NOT_EXECUTABLE_EXIT_CODE, hint)


def exec_failure(number: int, text: str, exit_code: int, hint: str = "") -> RuntimeFailure:
    """Return the failure of the ``exec`` stage."""
    message = f"error during container init: {text}"
    return RuntimeFailure(
        "exec",
        message,
        errno=number,
        hint=hint,
        exit_code=exit_code,
        category="InvalidParameter",
    )


def _go_text(number: int) -> str:
    """Return an errno's text as Go prints it, which is what clients know: lower case."""
    return os.strerror(number).lower()


def explain_exec_error(path: str, number: int, header: bytes, machine: str) -> RuntimeFailure:
    """Return why execve(2) refused a file that was found.

    Args:
        path: of the program.
        number: errno of execve(2).
        header: the file's first bytes, empty if it can't be read.
        machine: of this host, ``x86_64``.
    """
    is_not_found = number in (errno.ENOENT, errno.ENOTDIR)
    exit_code = NOT_FOUND_EXIT_CODE if is_not_found else NOT_EXECUTABLE_EXIT_CODE
    text = f"exec {path}: {_go_text(number)}"
    return exec_failure(number, text, exit_code, _hint(path, number, header, machine))


def _hint(path: str, number: int, header: bytes, machine: str) -> str:
    if number == errno.ENOENT:
        interpreter = find_interpreter(header)
        return f"{path} needs {interpreter}, which the image does not have" if interpreter else ""
    if number == errno.ENOEXEC:
        return _explain_format(path, header, machine)
    if number == errno.EACCES:
        return f"{path} may be on a file system mounted noexec, or lack the execute permission"
    return ""


def find_interpreter(header: bytes) -> str:
    """Return the program that a script or a dynamically linked ELF file names, or nothing."""
    if header.startswith(b"#!"):
        words = header[2:].split(b"\n", 1)[0].split(None, 1)
        name = words[0].decode(errors="replace") if words else ""
        if header[2:].split(b"\n", 1)[0].endswith(b"\r"):
            return f"{name.rstrip()} (its first line ends with a carriage return, as on Windows)"
        return name
    if header.startswith(b"\x7fELF"):
        return _elf_interpreter(header)
    return ""


def _elf_interpreter(header: bytes) -> str:
    """Return PT_INTERP of an ELF file, if it lies in the bytes at hand."""
    order = "<" if header[5:6] == b"\x01" else ">"
    is_64 = header[4:5] == b"\x02"
    try:
        if is_64:
            (offset,) = struct.unpack_from(order + "Q", header, 32)
            size, count = struct.unpack_from(order + "HH", header, 54)
        else:
            (offset,) = struct.unpack_from(order + "I", header, 28)
            size, count = struct.unpack_from(order + "HH", header, 42)
        for number in range(count):
            at = offset + number * size
            (kind,) = struct.unpack_from(order + "I", header, at)
            if kind != 3:  # PT_INTERP
                continue
            if is_64:
                start, _, _, length = struct.unpack_from(order + "QQQQ", header, at + 8)
            else:
                start, _, _, length = struct.unpack_from(order + "IIII", header, at + 4)
            return header[start : start + length].rstrip(b"\0").decode(errors="replace")
    except struct.error:
        pass
    return ""


def _explain_format(path: str, header: bytes, machine: str) -> str:
    if not header:
        return f"{path} is empty"
    if not header.startswith(b"\x7fELF"):
        return f'{path} is not a program for Linux; if it is a script, its first line lacks "#!"'
    order = "<" if header[5:6] == b"\x01" else ">"
    (number,) = struct.unpack_from(order + "H", header.ljust(20, b"\0"), 18)
    theirs = _ELF_MACHINES.get(number, f"ELF machine {number}")
    ours = _MACHINE_NAMES.get(machine, machine)
    if theirs == ours:
        return f"{path} is damaged"
    return (
        f"{path} is built for {theirs}, this machine is {ours} and has no emulator for it: "
        "install one that registers with binfmt_misc (Debian: qemu-user-static), or use the "
        "image for this machine's platform"
    )
