"""Write the collected files as an image: skeleton, ``/etc``, one layer, registered."""

import datetime
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cutaway.errors import InvalidParameter
from cutaway.images.assemble import assemble_image, this_platform
from cutaway.images.host.collect import Collection, ProgramNotFound
from cutaway.images.host.ld_cache import format_cache
from cutaway.images.host.programs import DEFAULT_PROGRAMS
from cutaway.images.image import Image
from cutaway.images.layer_blob import LayerBlobWriter
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.tar_read import Entry
from cutaway.images.layers.tar_write import TarWriter
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.oci import ContainerDefaults, History, ImageConfig, Reference, RootFS

_COPIED = (
    "/etc/passwd",
    "/etc/group",
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/protocols",
    "/etc/services",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/usr/lib/ssl/openssl.cnf",
    "/usr/lib/ssl/cert.pem",
    "/usr/lib/ssl/certs",
    "/etc/iproute2",
    "/usr/share/iproute2",
    "/usr/lib/locale/C.utf8",
    *(f"/lib/terminfo/{t[0]}/{t}" for t in ("linux", "screen", "vt100", "xterm")),
    *(f"/usr/share/terminfo/{t[0]}/{t}" for t in ("linux", "screen", "vt100", "xterm")),
    *(f"/lib/terminfo/{t[0]}/{t}" for t in ("xterm-256color", "screen-256color", "dumb", "tmux")),
)
# Links into /usr on most systems, directories on some: scripts rely on these paths.
_MERGED = ("/bin", "/sbin", "/lib", "/lib64")
# Loaded by name when a name service or "su" is used by an older glibc: no ELF header says so.
_NAME_SERVICES = ("libnss_files.so.2", "libnss_dns.so.2")
_NSSWITCH = b"passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
_DIRECTORIES = {
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "mnt": 0o755,
    "opt": 0o755,
    "proc": 0o755,
    "root": 0o700,
    "run": 0o755,
    "srv": 0o755,
    "sys": 0o755,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/local": 0o755,
    "usr/local/bin": 0o755,
    "var": 0o755,
    "var/cache": 0o755,
    "var/lib": 0o755,
    "var/log": 0o755,
    "var/tmp": 0o1777,
}
_LINKS = {"var/run": "/run"}
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_READ_SIZE = 1 << 20
_KEPT_XATTRS = ("security.capability",)


def build_host_image(
    store: ImageStore,
    snapshots: Snapshots,
    name: str,
    *,
    programs: Sequence[str] = (),
    progress: Callable[[str], Any] | None = None,
) -> Image:
    """Make an image of this machine's programs and give it a name.

    Args:
        store: where the image goes.
        snapshots: where its layer goes.
        name: ``host``, ``tools:1``.
        programs: names, paths of files or of whole directories; each must exist. Without any,
            those of ``DEFAULT_PROGRAMS`` that this machine has.
        progress: gets a line now and then.

    Raises:
        ProgramNotFound: a program asked for is not here.
        InvalidParameter: the name is none.

    Leaves behind: the image, its layer and its snapshot.
    """
    say = progress or (lambda line: None)
    reference = _parse_name(name)
    collection = collect_programs(programs)
    say(f"{len(collection.paths)} files of this machine")
    with store.lease() as pin:
        with LayerBlobWriter(store.content) as layer:
            newest_s = write_root(collection, TarWriter(layer.write))
            descriptor, diff_id = layer.commit()
        pin([diff_id])
        say(f"layer of {layer.tar_bytes >> 20} MiB, {descriptor.size >> 20} MiB compressed")
        return assemble_image(
            store,
            snapshots,
            _config(programs, newest_s, RootFS("layers", (diff_id,))),
            (descriptor,),
            names=(reference,),
            by="from-host",
        )


def _parse_name(name: str) -> Reference:
    reference = Reference.parse(name).with_default_tag()
    if reference.digest is not None:
        raise InvalidParameter(f"{name}: an image made here has no digest yet: give a name")
    return reference


def collect_programs(programs: Sequence[str]) -> Collection:
    """Gather programs with what they need and the files in ``/etc`` that all programs read.

    Raises:
        ProgramNotFound: one that was asked for by name is not here.
    """
    collection = Collection.for_this_machine()
    for program in programs or DEFAULT_PROGRAMS:
        try:
            collection.add_program(program)
        except ProgramNotFound:
            if programs:
                raise
    for path in filter(os.path.exists, _MERGED):
        collection.add_path(path)
    for path in filter(os.path.exists, _COPIED):
        collection.add_tree(path)
    for soname in _NAME_SERVICES:
        for entry in collection._cache:
            if entry.soname == soname:
                collection.libraries[soname] = entry.path
                collection.add_file(entry.path)
                break
    return collection


def _config(programs: Sequence[str], newest_s: int, rootfs: RootFS) -> ImageConfig:
    platform = this_platform()
    created = datetime.datetime.fromtimestamp(newest_s, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made_of = " ".join(programs) if programs else "the usual programs"
    has_shell = not programs or any(os.path.basename(p) in ("sh", "bash") for p in programs)
    return ImageConfig(
        architecture=platform.architecture,
        variant=platform.variant,
        os="linux",
        created=created,
        config=ContainerDefaults(env=(_PATH,), cmd=("sh",) if has_shell else None),
        rootfs=rootfs,
        history=(History(created=created, created_by=f"cutaway image from-host: {made_of}"),),
    )


def write_root(collection: Collection, writer: TarWriter) -> int:
    """Write the root file system in the order of its paths.

    Returns:
        The newest modification time among the files, in seconds: the image's date.
    """
    newest_s = 0
    made: dict[str, Entry] = {}
    for path in collection.paths:
        entry = _entry_of(path)
        made[entry.name.decode(errors="surrogateescape").rstrip("/")] = entry
        if entry.kind == tar.REGULAR:
            newest_s = max(newest_s, entry.mtime_ns // 10**9)
    for name, mode in _DIRECTORIES.items():
        made.setdefault(name, Entry(f"{name}/".encode(), tar.DIRECTORY, mode))
    for name, target in _LINKS.items():
        made.setdefault(name, Entry(name.encode(), tar.SYMLINK, 0o777, link=target.encode()))
    written = {"etc/nsswitch.conf": _NSSWITCH, "etc/hosts": b"", "etc/resolv.conf": b""}
    if entries := collection.cache_entries():
        written["etc/ld.so.cache"] = format_cache(entries)
    for name, data in written.items():
        made[name] = Entry(name.encode(), tar.REGULAR, 0o644, size=len(data))
    writer.add(Entry(b"./", tar.DIRECTORY, 0o755))
    for name in sorted(made):
        if name in written:
            writer.add(made[name], (written[name],))
        elif made[name].kind == tar.REGULAR:
            writer.add(made[name], _pieces(f"/{name}", made[name].size))
        else:
            writer.add(made[name])
    writer.close()
    return newest_s


def _entry_of(path: str) -> Entry:
    """Describe one path of this machine; directories get no time, theirs change with neighbours."""
    status = os.lstat(path)
    entry = Entry(os.fsencode(path.lstrip("/")), tar.REGULAR, stat.S_IMODE(status.st_mode))
    entry.uid, entry.gid = status.st_uid, status.st_gid
    if stat.S_ISDIR(status.st_mode):
        entry.kind, entry.name = tar.DIRECTORY, entry.name + b"/"
        return entry
    if stat.S_ISLNK(status.st_mode):
        entry.kind, entry.link = tar.SYMLINK, os.fsencode(os.readlink(path))
        return entry
    if not stat.S_ISREG(status.st_mode):
        raise InvalidParameter(f"{path}: neither a file, a directory nor a link")
    entry.size = status.st_size
    entry.mtime_ns = status.st_mtime_ns // 10**9 * 10**9
    for attribute in _KEPT_XATTRS:
        try:
            entry.xattrs[attribute.encode()] = os.getxattr(path, attribute)
        except OSError:
            continue  # has none, or the file system keeps none
    return entry


def _pieces(path: str, size: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while size and (piece := file.read(min(size, _READ_SIZE))):
            size -= len(piece)
            yield piece
