"""``manifest``: one name for images of several platforms, and what a registry has of a name."""

import json
from typing import Any

from cutaway.cli.command import Command, Context
from cutaway.cli.commands.images import check_reference
from cutaway.cli.commands.pull import full_name
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.table import print_rows
from cutaway.cli.screen.terminal import warn
from cutaway.cli.settings.credentials import TRUST_FLAGS, auth_header, trust_headers
from cutaway.cli.units import human_size
from cutaway.client import ApiError
from cutaway.client.http import quote

_INSECURE = "    --insecure   Allow communication with an insecure registry\n"


def _headers(context: Context, flags: Values, name: str) -> dict[str, str]:
    verify = flags["tls-verify"] and not flags.get("insecure")
    return auth_header(name, context.config_dir) | trust_headers(verify, flags["ca"])


def create(context: Context, flags: Values, arguments: list[str]) -> int:
    """Begin a list, or add to one."""
    target, *members = arguments
    for name in arguments:
        check_reference(name)
    body = {"Name": target, "Members": members, "Amend": flags["amend"]}
    view = context.client.request(
        "POST",
        "/cutaway/manifests/create",
        body=body,
        headers=_headers(context, flags, target),
    ).json()
    print(f"Created manifest list {view['Name']}")
    return 0


def annotate(context: Context, flags: Values, arguments: list[str]) -> int:
    """Say for which platform a member is."""
    target, member = arguments
    body = {
        "Name": target,
        "Member": member,
        "Architecture": flags["arch"],
        "Os": flags["os"],
        "OsVersion": flags["os-version"],
        "OsFeatures": [part for text in flags["os-features"] for part in text.split(",")],
        "Variant": flags["variant"],
    }
    context.client.post("/cutaway/manifests/annotate", body)
    return 0


def inspect(context: Context, flags: Values, arguments: list[str]) -> int:
    """Print a manifest or a list as JSON: drafted here, or as the registry has it."""
    name = arguments[0]
    check_reference(name)
    view = context.client.request(
        "GET",
        f"/cutaway/manifests/{quote(name)}/json",
        query={"verbose": flags["verbose"] or None},
        headers=_headers(context, flags, name),
    ).json()
    if len(arguments) > 1:
        print(_dump(_member(view, full_name(arguments[1]))))
    elif flags["verbose"]:
        found = [_verbose(member) for member in view["Members"]]
        print(_dump(found if len(found) != 1 else found[0]))
    else:
        print(_dump(view["Document"]))
    return 0


def _dump(document: Any) -> str:
    return json.dumps(document, indent="\t", ensure_ascii=False)


def _member(view: dict[str, Any], name: str) -> Any:
    for member in view["Members"]:
        if member["Ref"] in {name, f"{name}:latest"}:
            return member["Descriptor"]
    raise UsageError(f"No such manifest: {name} in {view['Name']}")


def _verbose(member: dict[str, Any]) -> dict[str, Any]:
    is_oci = "oci" in member["Descriptor"].get("mediaType", "")
    kind = "OCIManifest" if is_oci else "SchemaV2Manifest"
    found = {"Ref": member["Ref"], "Descriptor": member["Descriptor"]}
    return found | ({kind: member["Manifest"]} if member.get("Manifest") else {})


def push(context: Context, flags: Values, arguments: list[str]) -> int:
    """Send a list, and the members that its repository lacks; prints its digest."""
    (name,) = arguments
    answer = context.client.request(
        "POST",
        f"/cutaway/manifests/{quote(name)}/push",
        query={"purge": flags["purge"] or None},
        headers=_headers(context, flags, name),
    ).json()
    print(answer["Digest"])
    return 0


def remove(context: Context, flags: Values, arguments: list[str]) -> int:
    """Forget lists that were drafted here."""
    failed = False
    for name in arguments:
        try:
            context.client.delete(f"/cutaway/manifests/{quote(name)}")
        except ApiError as error:
            warn(str(error))
            failed = True
    return 1 if failed else 0


def referrers(context: Context, flags: Values, arguments: list[str]) -> int:
    """List what refers to an image in its registry."""
    (name,) = arguments
    answer = context.client.request(
        "GET",
        f"/cutaway/referrers/{quote(name)}",
        query={"artifact-type": flags["artifact-type"] or None},
        headers=_headers(context, flags, name),
    ).json()
    rows = [_referrer(found) for found in answer["Manifests"]]
    columns = {"Type": "TYPE", "Digest": "DIGEST", "Size": "SIZE", "Annotations": "ANNOTATIONS"}
    default = ["Type", "Digest", "Size"]
    print_rows(rows, columns, template=flags["format"] or None, default=default)
    return 0


def _referrer(found: dict[str, Any]) -> dict[str, Any]:
    annotations = found.get("annotations") or {}
    return {
        "Type": found.get("artifactType") or found.get("mediaType", ""),
        "Digest": found["digest"],
        "Size": human_size(found["size"]),
        "Annotations": ",".join(f"{key}={value}" for key, value in annotations.items()),
    }


COMMANDS = (
    Command(
        "manifest create",
        "MANIFEST_LIST MANIFEST [MANIFEST...]",
        "Create a local manifest list for annotating and pushing to a registry",
        create,
        flags="-a, --amend      Amend an existing manifest list\n" + _INSECURE + TRUST_FLAGS,
        at_least=2,
    ),
    Command(
        "manifest annotate",
        "[OPTIONS] MANIFEST_LIST MANIFEST",
        "Add additional information to a local image manifest",
        annotate,
        flags="""
    --arch string           Set architecture
    --os string             Set operating system
    --os-features strings   Set operating system feature
    --os-version string     Set operating system version
    --variant string        Set architecture variant
""",
        at_least=2,
        at_most=2,
    ),
    Command(
        "manifest inspect",
        "[OPTIONS] [MANIFEST_LIST] MANIFEST",
        "Display an image manifest, or manifest list",
        inspect,
        flags=_INSECURE
        + "-v, --verbose    Output additional info including layers and platform\n"
        + TRUST_FLAGS,
        at_least=1,
        at_most=2,
    ),
    Command(
        "manifest push",
        "[OPTIONS] MANIFEST_LIST",
        "Push a manifest list to a repository",
        push,
        flags=_INSECURE.replace("communication with", "push to")
        + "-p, --purge      Remove the local manifest list after push\n"
        + TRUST_FLAGS,
        at_least=1,
        at_most=1,
    ),
    Command(
        "manifest rm",
        "MANIFEST_LIST [MANIFEST_LIST...]",
        "Delete one or more manifest lists from local storage",
        remove,
        at_least=1,
    ),
    Command(
        "manifest referrers",
        "[OPTIONS] NAME[:TAG|@DIGEST]",
        "List what refers to an image in its registry: signatures, SBOMs",
        referrers,
        flags="    --artifact-type string   Only those of this type\n"
        "    --format string          $FORMAT_TABLE\n" + TRUST_FLAGS,
        at_least=1,
        at_most=1,
    ),
)
