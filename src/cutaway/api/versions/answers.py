"""Documents as older versions had them.

Each ``Step`` says: below this version, a document of this type looked different so. Steps are in
order from new to old and all that apply run, so a step may rely on those before it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from cutaway import model
from cutaway.api.version import NEWEST, Version

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """What clients below a version see instead.

    Attributes:
        below: the first version with the new shape.
        kind: the document's type; subclasses too.
        change: edits the document in place.
    """

    below: Version
    kind: type[msgspec.Struct]
    change: Callable[[Document], None]


def adapt(document: Any, version: Version) -> Any:
    """Return the document, or a sequence of documents, as a client of ``version`` expects it."""
    if isinstance(document, list | tuple):
        return [adapt(item, version) for item in document] if document else document
    steps = [step for step in _steps_for(type(document)) if version < step.below]
    losses = [change for since, change in _LOSSES.get(type(document), ()) if version >= since]
    if not steps and not losses and version == NEWEST:
        return document
    plain: Document = msgspec.to_builtins(document)
    for lose in losses:
        lose(plain)
    for step in steps:
        step.change(plain)
    return plain


_by_kind: dict[type, list[Step]] = {}


def _steps_for(kind: type) -> list[Step]:
    steps = _by_kind.get(kind)
    if steps is None:
        steps = [step for step in STEPS if issubclass(kind, step.kind)]
        _by_kind[kind] = steps
    return steps


def _drop(*names: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        for name in names:
            document.pop(name, None)

    return change


def _drop_in_endpoints(*names: str) -> Callable[[Document], None]:
    """Drop fields of EndpointSettings, in inspect and in the list."""

    def change(document: Document) -> None:
        for endpoint in document["NetworkSettings"]["Networks"].values():
            for name in names:
                endpoint.pop(name, None)

    return change


def _drop_in_host_config(*names: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        for name in names:
            document["HostConfig"].pop(name, None)

    return change


def _bridge_fields(document: Document) -> None:
    """Repeat the default bridge's endpoint one level higher, where it was before networks."""
    settings = document["NetworkSettings"]
    bridge = settings["Networks"].get("bridge", {})
    settings.update(
        Bridge="",
        HairpinMode=False,
        LinkLocalIPv6Address="",
        LinkLocalIPv6PrefixLen=0,
        SecondaryIPAddresses=None,
        SecondaryIPv6Addresses=None,
        EndpointID=bridge.get("EndpointID", ""),
        Gateway=bridge.get("Gateway", ""),
        GlobalIPv6Address=bridge.get("GlobalIPv6Address", ""),
        GlobalIPv6PrefixLen=bridge.get("GlobalIPv6PrefixLen", 0),
        IPAddress=bridge.get("IPAddress", ""),
        IPPrefixLen=bridge.get("IPPrefixLen", 0),
        IPv6Gateway=bridge.get("IPv6Gateway", ""),
        MacAddress=bridge.get("MacAddress", ""),
    )


def _event_status(document: Document) -> None:
    """Say again what happened to whom, in the fields of the time before ``Actor``."""
    kind, actor = document["Type"], document["Actor"]
    if kind in ("container", "image"):
        document["status"] = document["Action"]
        document["id"] = actor["ID"]
        if kind == "container" and (image := (actor["Attributes"] or {}).get("image")):
            document["from"] = image


def _image_texts(document: Document) -> None:
    """Write fields that used to be there although empty."""
    for name in ("Parent", "Comment", "DockerVersion", "Author"):
        document.setdefault(name, "")
    document.setdefault("Created", model.ZERO_TIME)


def _container_fields_of_image(document: Document) -> None:
    """Fill an image's config with what only containers have, always empty."""
    config = document.get("Config")
    if config is not None:
        for name in ("Hostname", "Domainname", "Image"):
            config.setdefault(name, "")
        names = ("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce")
        for name in names:
            config.setdefault(name, False)


def _image_container(document: Document) -> None:
    """Name the build's container and its config, which current builders do not keep."""
    document.setdefault("Container", "")
    document.setdefault("ContainerConfig", msgspec.to_builtins(model.ContainerConfig()))


def _virtual_size(document: Document) -> None:
    document["VirtualSize"] = document["Size"]


def _disk_usage_virtual_size(document: Document) -> None:
    for image in document["Images"] or ():
        _virtual_size(image)


def _none_names(document: Document) -> None:
    """Say ``<none>`` instead of nothing for an image without name."""
    if not document["RepoTags"] and not document["RepoDigests"]:
        document.update(RepoTags=["<none>:<none>"], RepoDigests=["<none>@<none>"])


def _bridge_netfilter(document: Document) -> None:
    document.update(BridgeNfIptables=False, BridgeNfIp6tables=False)


def _start_interval(document: Document) -> None:
    check = document["Config"].get("Healthcheck")
    if check is not None:
        check.pop("StartInterval", None)


def _old_security_options(document: Document) -> None:
    """Before 1.25 a security option was a bare word."""
    document["SecurityOptions"] = [
        option.removeprefix("name=").partition(",")[0] for option in document["SecurityOptions"]
    ]


def _builder_size(document: Document) -> None:
    document["BuilderSize"] = 0


def _old_exec_code(document: Document) -> None:
    """Before 1.44 a program that was not found gave 126, as any other that could not be run."""
    if not document["Pid"] and document["ExitCode"] == 127:
        document["ExitCode"] = 126


STEPS: tuple[Step, ...] = (
    Step(Version(1, 52), model.ContainerInspect, _bridge_fields),
    Step(Version(1, 52), model.ContainerInspect, _drop("Storage")),
    Step(Version(1, 52), model.ContainerSummary, _drop("Health")),
    Step(Version(1, 52), model.EventMessage, _event_status),
    Step(Version(1, 52), model.ImageInspect, _image_texts),
    Step(Version(1, 52), model.NetworkInspect, _drop("Status")),
    Step(Version(1, 50), model.ImageInspect, _container_fields_of_image),
    Step(Version(1, 50), model.SystemInfo, _bridge_netfilter),
    Step(Version(1, 49), model.SystemInfo, _drop("FirewallBackend")),
    Step(Version(1, 48), model.ContainerInspect, _drop("ImageManifestDescriptor")),
    Step(Version(1, 48), model.ContainerSummary, _drop("ImageManifestDescriptor")),
    Step(Version(1, 48), model.ContainerInspect, _drop_in_endpoints("GwPriority")),
    Step(Version(1, 48), model.ContainerSummary, _drop_in_endpoints("GwPriority")),
    Step(Version(1, 48), model.ImageInspect, _drop("Descriptor", "Manifests")),
    Step(Version(1, 48), model.ImageSummary, _drop("Descriptor")),
    Step(Version(1, 48), model.Network, _drop("EnableIPv4")),
    Step(Version(1, 47), model.ImageSummary, _drop("Manifests")),
    Step(Version(1, 46), model.ContainerSummary, _drop_in_host_config("Annotations")),
    Step(Version(1, 45), model.ImageInspect, _image_container),
    Step(Version(1, 44), model.ExecInspect, _old_exec_code),
    Step(Version(1, 44), model.ContainerInspect, _drop_in_endpoints("DNSNames")),
    Step(Version(1, 44), model.ContainerSummary, _drop_in_endpoints("DNSNames")),
    Step(Version(1, 44), model.ContainerInspect, _start_interval),
    Step(Version(1, 44), model.ImageInspect, _virtual_size),
    Step(Version(1, 44), model.ImageSummary, _virtual_size),
    Step(Version(1, 44), model.DiskUsage, _disk_usage_virtual_size),
    Step(Version(1, 43), model.ImageSummary, _none_names),
    Step(Version(1, 43), model.ContainerInspect, _drop_in_host_config("Annotations")),
    Step(Version(1, 42), model.DiskUsage, _builder_size),
    Step(Version(1, 41), model.SystemInfo, _drop("CgroupVersion", "DefaultAddressPools")),
    Step(Version(1, 40), model.ContainerInspect, _drop_in_host_config("DeviceRequests")),
    Step(Version(1, 39), model.SystemInfo, _drop("Warnings")),
    Step(Version(1, 25), model.SystemInfo, _old_security_options),
)

_LOSSES: dict[type, tuple[tuple[Version, Callable[[Document], None]], ...]] = {
    model.ImageInspect: (
        (Version(1, 45), _drop("Container", "ContainerConfig")),
        (Version(1, 52), _drop("Parent", "DockerVersion")),
    ),
    model.EventMessage: ((Version(1, 52), _drop("status", "id", "from")),),
}
"""What a version took away although the model still carries it for older clients."""
