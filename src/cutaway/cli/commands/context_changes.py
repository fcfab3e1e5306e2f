"""``context create``, ``update``, ``export`` and ``import``: what writes contexts down."""

import json
import os
import re
import sys
from io import BytesIO
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.commands.contexts import context_document
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.terminal import warn
from cutaway.cli.settings.contexts import (
    DEFAULT,
    directory_of,
    read_certificates,
    read_context,
    write_context,
)
from cutaway.errors import InvalidParameter

_NAME = r"^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"
_MOST_BYTES = 10 << 20  # of an archive, as docker has it
_META = "meta.json"
_TLS = "tls/docker/"
_FILES = ("ca", "cert", "key")
_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_FALSE = {"0", "f", "F", "false", "FALSE", "False"}
_DETAILS = """Docker endpoint config:

NAME                DESCRIPTION
from                Copy named context's Docker endpoint configuration
host                Docker endpoint on which to connect
ca                  Trust certs signed only by this CA
cert                Path to TLS certificate file
key                 Path to TLS key file
skip-tls-verify     Skip TLS certificate validation

Example:

$ cutaway context VERB my-context --description "some description" --docker \
"host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file\""""


def create(context: Context, flags: Values, arguments: list[str]) -> int:
    """Keep an address under a name, or a copy of another context."""
    (name,) = arguments
    _refuse_reserved(name)
    _refuse_taken(context, name)
    source = flags["from"] or ("" if flags["docker"] else DEFAULT)
    if source:
        document = context_document(context, source)
        certificates = read_certificates(context.config_dir, source)
    else:
        endpoint, certificates = _endpoint(context, flags["docker"])
        document = {"Metadata": {}, "Endpoints": {"docker": endpoint}}
    document = _described(name, document, flags["description"])
    write_context(context.config_dir, document, certificates)
    print(name)
    warn(f'Successfully created context "{name}"')
    return 0


def update(context: Context, flags: Values, arguments: list[str]) -> int:
    """Change a context's description or address."""
    (name,) = arguments
    _refuse_reserved(name)
    document = read_context(context.config_dir, name)
    certificates = read_certificates(context.config_dir, name)
    if flags["docker"]:
        document["Endpoints"]["docker"], certificates = _endpoint(context, flags["docker"])
    document = _described(name, document, flags["description"])
    write_context(context.config_dir, document, certificates)
    print(name)
    warn(f'Successfully updated context "{name}"')
    return 0


def _described(name: str, document: dict[str, Any], description: str) -> dict[str, Any]:
    """Return a context's document under a name, with the description if it is not empty."""
    metadata = {**document["Metadata"], **({"Description": description} if description else {})}
    return {"Name": name, "Metadata": metadata, "Endpoints": document["Endpoints"]}


def _refuse_reserved(name: str) -> None:
    if name == DEFAULT:
        raise UsageError('"default" is a reserved context name')
    if not re.fullmatch(_NAME[1:-1], name):
        raise UsageError(
            f'context name "{name}" is invalid, names are validated against regexp "{_NAME}"'
        )


def _refuse_taken(context: Context, name: str) -> None:
    if os.path.exists(directory_of(context.config_dir, name)):
        raise UsageError(f'context "{name}" already exists')


def _endpoint(context: Context, texts: list[str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read ``--docker``; returns the endpoint and the contents of its certificate files."""
    try:
        options = dict(part.partition("=")[::2] for text in texts for part in text.split(","))
        unknown = options.keys() - {"host", "from", "skip-tls-verify", *_FILES}
        if unknown:
            raise UsageError(f"unrecognized config key: {', '.join(sorted(unknown))}")
        if source := options.get("from"):
            endpoint = dict(context_document(context, source)["Endpoints"]["docker"])
            return endpoint, read_certificates(context.config_dir, source)
        skips = options.get("skip-tls-verify") or "false"
        if skips not in _TRUE | _FALSE:
            raise UsageError(f'skip-tls-verify: parsing "{skips}": invalid syntax')
        endpoint = {"Host": options.get("host", ""), "SkipTLSVerify": skips in _TRUE}
        if not endpoint["Host"]:
            endpoint["Host"] = context_document(context, DEFAULT)["Endpoints"]["docker"]["Host"]
        return endpoint, _certificates(options)
    except UsageError as error:
        raise UsageError(f"unable to create docker endpoint config: {error}") from None


def _certificates(options: dict[str, str]) -> dict[str, bytes]:
    paths = {kind: os.path.expanduser(options[kind]) for kind in _FILES if options.get(kind)}
    found = {}
    for kind, path in paths.items():
        try:
            with open(path, "rb") as file:
                found[f"{kind}.pem"] = file.read()
        except OSError as error:
            raise UsageError(f"open {path}: {(error.strerror or str(error)).lower()}") from None
    if found:
        from cutaway.cli.settings.tls import tls_context

        own, key = paths.get("cert", ""), paths.get("key", "")
        tls_context(paths.get("ca", ""), own, key, verifies=True)
    return found


def export(context: Context, flags: Values, arguments: list[str]) -> int:
    """Write a context and its certificates as an archive."""
    name, path = arguments[0], (arguments[1:] or [f"{arguments[0]}.dockercontext"])[0]
    document = context_document(context, name)
    archive = _packed(document, read_certificates(context.config_dir, name))
    if path == "-":
        if sys.stdout.isatty():
            raise UsageError("cowardly refusing to export to a terminal, specify a file path")
        sys.stdout.buffer.write(archive)
        return 0
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as f:
        f.write(archive)
    warn(f'Written file "{path}"')
    return 0


def _packed(document: dict[str, Any], certificates: dict[str, bytes]) -> bytes:
    import tarfile

    data = json.dumps(document, separators=(",", ":")).encode()
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        directories = ["tls", "tls/docker"] if certificates else ["tls"]
        for name, mode, content in (
            (_META, 0o644, data),
            *((directory, 0o700, None) for directory in directories),
            *((f"{_TLS}{name}", 0o600, content) for name, content in certificates.items()),
        ):
            info = tarfile.TarInfo(name)
            info.mode, info.size = mode, len(content or b"")
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            tar.addfile(info, BytesIO(content or b""))
    return out.getvalue()


def import_context(context: Context, flags: Values, arguments: list[str]) -> int:
    """Keep a context that ``export`` has written, under a name of one's own."""
    name, path = arguments
    _refuse_reserved(name)
    _refuse_taken(context, name)
    if path == "-":
        archive = sys.stdin.buffer.read(_MOST_BYTES + 1)
    else:
        with open(path, "rb") as file:
            archive = file.read(_MOST_BYTES + 1)
    if len(archive) > _MOST_BYTES:
        raise UsageError(f"an exported context has at most {_MOST_BYTES} bytes")
    document, certificates = _unpacked(archive)
    write_context(context.config_dir, _described(name, document, ""), certificates)
    print(name)
    warn(f'Successfully imported context "{name}"')
    return 0


def _unpacked(archive: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    files = _members(archive)
    certificates = {name.removeprefix(_TLS): files[name] for name in files if name != _META}
    strange = certificates.keys() - {f"{kind}.pem" for kind in _FILES}
    if strange:
        raise InvalidParameter(f"unexpected context file: {', '.join(sorted(strange))}")
    if _META not in files:
        raise InvalidParameter("invalid context: no metadata found")
    try:
        document = json.loads(files[_META])
        endpoint = document["Endpoints"]["docker"]
        if not isinstance(endpoint["Host"], str):
            raise TypeError("Host is no string")
        metadata = dict(document.get("Metadata") or {})
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidParameter(f"invalid context: {_META}: {error}") from None
    return {"Metadata": metadata, "Endpoints": {"docker": endpoint}}, certificates


def _members(archive: bytes) -> dict[str, bytes]:
    """Return the files of a tar or zip archive by name."""
    import tarfile
    import zipfile

    whole = archive + bytes(tarfile.RECORDSIZE)  # docker's archives lack their last padding
    try:
        if archive.startswith(b"PK"):
            with zipfile.ZipFile(BytesIO(archive)) as packed:
                infos = [info for info in packed.infolist() if not info.is_dir()]
                if sum(info.file_size for info in infos) > _MOST_BYTES:
                    raise InvalidParameter(f"an exported context has at most {_MOST_BYTES} bytes")
                return {info.filename: packed.read(info) for info in infos}
        with tarfile.open(fileobj=BytesIO(whole), mode="r:") as tar:
            regular = [info for info in tar if info.isreg()]
            return {i.name: (tar.extractfile(i) or BytesIO()).read() for i in regular}
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise InvalidParameter(f"invalid context: neither a tar nor a zip file: {error}") from None


COMMANDS = (
    Command(
        "context create",
        "[OPTIONS] CONTEXT",
        "Create a context",
        create,
        flags="""
    --description string      Description of the context
    --docker stringToString   set the docker endpoint (default [])
    --from string             create context from a named context
""",
        details=_DETAILS.replace("VERB", "create"),
        at_least=1,
        at_most=1,
    ),
    Command(
        "context update",
        "[OPTIONS] CONTEXT",
        "Update a context",
        update,
        flags="""
    --description string      Description of the context
    --docker stringToString   set the docker endpoint (default [])
""",
        details=_DETAILS.replace("VERB", "update"),
        at_least=1,
        at_most=1,
    ),
    Command(
        "context export",
        "[OPTIONS] CONTEXT [FILE|-]",
        "Export a context to a tar archive FILE or a tar stream on STDOUT.",
        export,
        at_least=1,
        at_most=2,
    ),
    Command(
        "context import",
        "CONTEXT FILE|-",
        "Import a context from a tar or zip file",
        import_context,
        at_least=2,
        at_most=2,
    ),
)
