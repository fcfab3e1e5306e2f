"""A container's networks: the request to the controller, and the answer in Docker's words."""

from collections.abc import Mapping

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.validate.container import parse_port
from cutaway.errors import CutawayError
from cutaway.model import (
    EndpointIPAMConfig,
    EndpointSettings,
    NetworkSettings,
    PortBinding,
    PortMap,
)
from cutaway.network import Endpoint, EndpointRequest, PortRequest, Sandbox, SandboxRequest
from cutaway.network import PortBinding as Published


def sandbox_request(core: Core, container: Container) -> SandboxRequest:
    """Say what a container that is about to start needs of the network."""
    config, host = container.config, container.host_config
    return SandboxRequest(
        container_id=container.id,
        container_name=container.name,
        hostname=config.hostname or container.short_id,
        domain_name=config.domainname,
        mode="none" if config.network_disabled else host.network_mode,
        endpoints=tuple(
            endpoint_request(name, settings, container)
            for name, settings in container.document.networks.items()
        ),
        ports=tuple(port_requests(host.port_bindings or {})),
        publish_all=host.publish_all_ports,
        exposed=tuple(config.exposed_ports or ()),
        dns=host.dns or core.settings.dns,
        dns_search=host.dns_search or core.settings.dns_search,
        dns_options=host.dns_options or core.settings.dns_opts,
        extra_hosts=host.extra_hosts or (),
        egress=host.egress,
        sets_ipv6=any(
            name.replace("/", ".").startswith("net.ipv6.conf.") for name in host.sysctls or ()
        ),
    )


def endpoint_request(
    network: str, settings: EndpointSettings, container: Container
) -> EndpointRequest:
    """Say how a container is to be attached to one network."""
    if network != container.host_config.network_mode:
        return plan_endpoint(network, settings)
    links = container.host_config.links or ()
    return plan_endpoint(network, settings, links=links, mac=container.config.mac_address)


def plan_endpoint(
    network: str, settings: EndpointSettings, *, links: tuple[str, ...] = (), mac: str = ""
) -> EndpointRequest:
    """Say how one endpoint is to be made.

    Args:
        network: its network's name.
        settings: as the client gave them.
        links: legacy ones, of the container's main network.
        mac: the container's, when the settings have none.
    """
    fixed = settings.ipam_config or EndpointIPAMConfig()
    return EndpointRequest(
        network=network,
        aliases=settings.aliases or (),
        links=(settings.links or ()) + links,
        ipv4=fixed.ipv4_address,
        ipv6=fixed.ipv6_address,
        link_local=fixed.link_local_ips or (),
        mac=settings.mac_address or mac,
        driver_options=settings.driver_opts or {},
        gateway_priority=settings.gw_priority,
    )


def port_requests(ports: PortMap) -> list[PortRequest]:
    """Say what is to be published; a range of container ports becomes one request a port."""
    requests: list[PortRequest] = []
    for port, bindings in ports.items():
        first, last, protocol = parse_port(port)
        for number in range(first, last + 1):
            requests += [
                PortRequest(
                    container_port=number,
                    protocol=protocol,
                    host_ip=binding.host_ip,
                    host_port="" if binding.host_port in ("", "0") else binding.host_port,
                    mode=binding.mode,
                )
                for binding in bindings or (PortBinding(),)
            ]
    return requests


def find_sandbox(core: Core, container: Container) -> Sandbox | None:
    """Return the sandbox of a container that runs, else None."""
    try:
        return core.network.sandbox(container.id)
    except CutawayError:
        return None


def describe_networks(core: Core, container: Container) -> NetworkSettings:
    """Return ``NetworkSettings`` of inspect."""
    sandbox = find_sandbox(core, container)
    return NetworkSettings(
        sandbox_id=container.id if sandbox else "",
        sandbox_key=f"/proc/{container.state.pid}/ns/net" if container.is_alive else "",
        ports=describe_ports(container, sandbox),
        networks=describe_endpoints(core, container, sandbox),
    )


def describe_ports(
    container: Container, sandbox: Sandbox | None
) -> dict[str, tuple[PortBinding, ...] | None]:
    """Return the exposed ports and where the published ones are."""
    ports: dict[str, tuple[PortBinding, ...] | None] = {}
    if sandbox is None or shares(container.host_config.network_mode):
        return ports
    for exposed in container.config.exposed_ports or ():
        first, last, protocol = parse_port(exposed)
        for number in range(first, last + 1):
            ports[f"{number}/{protocol}"] = None
    for binding in sandbox.ports:
        key = f"{binding.container_port}/{binding.protocol}"
        ports[key] = (*(ports.get(key) or ()), describe_binding(binding))
    return ports


def describe_binding(binding: Published) -> PortBinding:
    """Return where a port is published; the mode only when it is not Docker's."""
    mode = "" if binding.mode == "dnat" else binding.mode
    return PortBinding(host_ip=binding.host_ip, host_port=str(binding.host_port), mode=mode)


def describe_endpoints(
    core: Core, container: Container, sandbox: Sandbox | None
) -> dict[str, EndpointSettings]:
    """Return each network's endpoint: what was asked, and what it has while it runs."""
    leased: Mapping[str, Endpoint] = {}
    if sandbox is not None:
        leased = {e.network_name: e for e in sandbox.endpoints if not e.is_gateway}
    names = list(container.document.networks)
    names += [name for name in leased if name not in names]
    return {name: _describe_endpoint(core, container, name, leased) for name in names}


def _describe_endpoint(
    core: Core, container: Container, name: str, leased: Mapping[str, Endpoint]
) -> EndpointSettings:
    asked = container.document.networks.get(name) or EndpointSettings()
    endpoint = leased.get(name)
    if endpoint is None:
        try:
            network_id = core.network.network(name).id
        except CutawayError:
            network_id = ""
        return EndpointSettings(
            ipam_config=asked.ipam_config,
            links=asked.links,
            aliases=asked.aliases,
            mac_address="" if container.state.started_ns else asked.mac_address,
            driver_opts=asked.driver_opts,
            gw_priority=asked.gw_priority,
            network_id=network_id,
        )
    return EndpointSettings(
        ipam_config=asked.ipam_config,
        links=asked.links,
        aliases=asked.aliases,
        mac_address=endpoint.mac,
        driver_opts=asked.driver_opts,
        gw_priority=asked.gw_priority,
        network_id=endpoint.network_id,
        endpoint_id=endpoint.id,
        gateway=endpoint.gateway,
        ip_address=endpoint.address,
        ip_prefix_len=endpoint.prefix,
        ipv6_gateway=endpoint.gateway_v6,
        global_ipv6_address=endpoint.address_v6,
        global_ipv6_prefix_len=endpoint.prefix_v6,
        dns_names=endpoint.dns_names or None,
    )
