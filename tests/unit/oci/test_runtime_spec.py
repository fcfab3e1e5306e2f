"""The typed config.json agrees with the specification's own schema."""

import json
import subprocess
import sys
from dataclasses import fields
from enum import Enum
from pathlib import Path
from types import GenericAlias, UnionType
from typing import Any, Union

import jsonschema
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from cutaway.errors import InvalidParameter
from cutaway.oci import Manifest, runtime_spec
from cutaway.oci.codec import JsonObject
from cutaway.oci.runtime_spec import Hook, Spec

SCHEMA = Path(__file__).parent / "schema"
NOT_LINUX = {"solaris", "windows", "vm", "zos", "freebsd"}


def load(folder: str) -> dict[str, Any]:
    return {p.name: json.loads(p.read_text()) for p in (SCHEMA / folder).glob("*.json")}


DOCUMENTS = load("runtime")


def resolve(node: dict[str, Any], file: str) -> tuple[dict[str, Any], str]:
    while "$ref" in node:
        target, _, pointer = node["$ref"].partition("#")
        file = target or file
        node = DOCUMENTS[file]
        for part in filter(None, pointer.split("/")):
            node = node[part]
    return node, file


def properties(node: dict[str, Any], file: str) -> dict[str, tuple[dict[str, Any], str]]:
    node, file = resolve(node, file)
    found = {}
    for part in node.get("allOf", ()):
        found |= properties(part, file)
    for name, value in node.get("properties", {}).items():
        found[name] = resolve(value, file)
    return found


def inner_types(annotation: Any) -> list[Any]:
    if isinstance(annotation, UnionType | GenericAlias) or getattr(
        annotation, "__origin__", None
    ) in (Union, tuple, dict):
        return [t for a in annotation.__args__ for t in inner_types(a)]
    return [annotation]


def compare(cls: type, node: dict[str, Any], file: str, path: str, problems: list[str]) -> None:
    """Walk type and schema together; both must have the same names, enums and requirements."""
    wanted = properties(node, file)
    own = {f.metadata.get("json") or camel(f.name): f for f in fields(cls)}
    skipped = NOT_LINUX if not path else set()
    for name in sorted((set(wanted) ^ set(own)) - skipped):
        problems.append(f"{path}.{name} is only on one side")
    for name in set(wanted) & set(own):
        child, child_file = wanted[name]
        child, child_file = element(child, child_file)
        for inner in inner_types(own[name].type):
            if not isinstance(inner, type):
                continue
            if issubclass(inner, JsonObject):
                compare(inner, child, child_file, f"{path}.{name}", problems)
            elif issubclass(inner, Enum) and "enum" in child:
                missing = set(child["enum"]) - {m.value for m in inner}
                problems.extend(f"{path}.{name}: {value} is missing" for value in missing)


def element(node: dict[str, Any], file: str) -> tuple[dict[str, Any], str]:
    """Return the schema of an array's items or a map's values, or the node itself."""
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            return element(*resolve(node[key], file))
    if "anyOf" in node:
        return element(*resolve(node["anyOf"][0], file))
    return node, file


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def test_every_property_of_the_schema_for_linux_is_a_field_and_the_reverse():
    problems: list[str] = []
    compare(Spec, DOCUMENTS["config-schema.json"], "config-schema.json", "", problems)

    assert problems == []


def sample(cls: type) -> JsonObject:
    """Build a value of ``cls`` with every field set."""
    return cls(**{f.name: sample_of(f.name, f.type) for f in fields(cls)})


SPECIAL = {
    "cwd": "/work",
    "path": "/x",
    "oci_version": "1.2.1",
    "page_size": "2MB",
    "mem_bw_schema": "MB:0=20",
    "initial": "0-3",
    "final": "7",
    "index": 3,
    "file_mode": 0o644,
}


def sample_of(name: str, annotation: Any) -> Any:
    if getattr(annotation, "__origin__", None) is tuple:
        return (sample_of(name, annotation.__args__[0]),)
    if getattr(annotation, "__origin__", None) is dict:
        return {"k": sample_of(name, annotation.__args__[1])}
    (inner,) = (t for t in inner_types(annotation) if t is not type(None))
    if name == "type" and inner is str:
        return "RLIMIT_NOFILE"
    if name in SPECIAL:
        return SPECIAL[name]
    if hasattr(inner, "__metadata__"):
        return 5
    if issubclass(inner, JsonObject):
        return sample(inner)
    if issubclass(inner, Enum):
        return next(iter(inner))
    return {str: "text", int: 5, bool: True}[inner]


def test_a_spec_with_every_field_set_reads_back_and_satisfies_the_schema(monkeypatch):
    spec = sample(Spec)
    document = spec.to_json()
    document["linux"]["devices"][0]["type"] = "c"

    read = Spec.from_json(json.loads(json.dumps(document)))

    assert read.to_json() == document
    check_schema(document)


def check_schema(document: dict[str, Any]) -> None:
    resources = [
        (name, Resource.from_contents(content, default_specification=DRAFT4))
        for name, content in DOCUMENTS.items()
    ]
    registry = Registry().with_resources(resources)
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", "$ref": "config-schema.json"}
    jsonschema.Draft4Validator(schema, registry=registry).validate(document)


def test_a_small_spec_is_written_without_its_defaults():
    document = {
        "ociVersion": "1.0.2",
        "process": {"cwd": "/", "args": ["sh"]},
        "root": {"path": "rootfs"},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/proc/1/ns/net"}]},
    }
    # Process.user has a default, so it may be left out.
    assert Spec.from_json(document).to_json() == document
    check_schema(document)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ociVersion": None}, "ociVersion: required, but missing"),
        ({"ociVersion": "2.0"}, "ociVersion: expected 1.x, got '2.0': not a version we know"),
        ({"process": {"args": []}}, "process.cwd: required, but missing"),
        ({"process": {"cwd": "w"}}, "process.cwd: expected an absolute path, got 'w'"),
        (
            {"process": {"cwd": "/", "user": {"uid": -1}}},
            "process.user.uid: expected an integer from 0 to 4294967295, got -1",
        ),
        (
            {"process": {"cwd": "/", "rlimits": [{"type": "NOFILE", "soft": 1, "hard": 1}]}},
            "process.rlimits[0].type: expected RLIMIT_…, got 'NOFILE'",
        ),
        (
            {"linux": {"namespaces": [{"type": "pid"}, {"type": "pid"}]}},
            "linux.namespaces: pid occurs twice",
        ),
        (
            {"linux": {"namespaces": [{"type": "net"}]}},
            "linux.namespaces[0].type: expected one of mount, pid, network, uts, ipc, user, "
            "cgroup, time, got 'net'",
        ),
        (
            {"linux": {"namespaces": [{"type": "pid", "path": "proc"}]}},
            "linux.namespaces[0].path: expected an absolute path, got 'proc'",
        ),
        (
            {"linux": {"devices": [{"type": "x", "path": "/dev/x"}]}},
            "linux.devices[0].type: expected c, b, u or p, got 'x'",
        ),
        (
            {"linux": {"devices": [{"type": "c", "path": "dev/x"}]}},
            "linux.devices[0].path: expected an absolute path, got 'dev/x'",
        ),
        (
            {"linux": {"resources": {"memory": {"limit": "1g"}}}},
            "linux.resources.memory.limit: expected an integer, got '1g'",
        ),
        (
            {
                "linux": {
                    "seccomp": {
                        "defaultAction": "SCMP_ACT_ALLOW",
                        "syscalls": [{"names": [], "action": "SCMP_ACT_ERRNO"}],
                    }
                }
            },
            "linux.seccomp.syscalls[0].names: expected at least one system call",
        ),
        (
            {
                "linux": {
                    "seccomp": {
                        "defaultAction": "SCMP_ACT_ALLOW",
                        "syscalls": [
                            {
                                "names": ["socket"],
                                "action": "SCMP_ACT_ERRNO",
                                "args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}],
                            }
                        ],
                    }
                }
            },
            "linux.seccomp.syscalls[0].args[0].index: expected 0 to 5, got 6",
        ),
        (
            {"hooks": {"prestart": [{"path": "hook"}]}},
            "hooks.prestart[0].path: expected an absolute path, got 'hook'",
        ),
        (
            {"hooks": {"poststop": [{"path": "/hook", "timeout": 0}]}},
            "hooks.poststop[0].timeout: expected at least 1 second, got 0",
        ),
    ],
)
def test_a_wrong_field_is_named_by_its_path(change, message):
    document = {"ociVersion": "1.2.1"} | change
    with pytest.raises(InvalidParameter) as caught:
        Spec.from_json(document)

    assert str(caught.value) == message


def test_hooks_may_have_no_timeout():
    assert Hook.from_json({"path": "/x"}).timeout is None


def test_all_names_are_exported():
    for name in runtime_spec.__all__:
        assert getattr(runtime_spec, name) is not None


def test_the_import_stays_cheap():
    code = (
        "import sys, dataclasses, enum, json, typing; bare = set(sys.modules)\n"
        "import cutaway.oci.runtime_spec\n"
        "print(*sorted(m for m in set(sys.modules) - bare if not m.startswith('cutaway')))"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)

    assert ran.stdout.split() == []


def test_manifests_satisfy_the_image_schemas():
    documents = load("image")
    resources = [
        (name, Resource.from_contents(content, default_specification=DRAFT4))
        for name, content in documents.items()
    ]
    registry = Registry().with_resources(resources)
    digest = "sha256:" + "a" * 64
    described = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": digest,
        "size": 1,
    }
    manifest = Manifest.from_json({"schemaVersion": 2, "config": described, "layers": [described]})

    schema = {"$schema": "http://json-schema.org/draft-04/schema#"}
    reference = {"$ref": "image-manifest-schema.json"}
    jsonschema.Draft4Validator(schema | reference, registry=registry).validate(manifest.to_json())
