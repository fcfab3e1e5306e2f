"""``build_spec``: the whole config.json from one intent."""

from cutaway.engine.configuration.settings import DaemonSettings, instance_name
from cutaway.engine.spec.intent import ContainerIntent
from cutaway.engine.spec.mounts import plan_mounts, plan_propagation
from cutaway.engine.spec.namespaces import hostname, plan_namespaces, plan_sysctls
from cutaway.engine.spec.process import plan_process
from cutaway.engine.spec.resources import plan_devices, plan_resources
from cutaway.model import HostConfig
from cutaway.oci.runtime_spec import SPEC_VERSION, Linux, Root, Spec


def build_spec(intent: ContainerIntent) -> Spec:
    """Decide a container's config.json. Pure: equal intents give equal specs."""
    own_name = intent.host.uts_mode != "host"
    return Spec(
        oci_version=SPEC_VERSION,
        process=plan_process(intent),
        root=Root("rootfs", readonly=intent.host.readonly_rootfs),
        hostname=hostname(intent) if own_name else "",
        mounts=plan_mounts(intent),
        annotations=dict(intent.host.annotations or {}),
        linux=Linux(
            namespaces=plan_namespaces(intent),
            devices=plan_devices(intent),
            cgroups_path=plan_cgroup_path(intent),
            resources=plan_resources(intent),
            rootfs_propagation=plan_propagation(intent.mounts),
            seccomp=intent.seccomp,
            sysctl=plan_sysctls(intent),
            masked_paths=intent.masked_paths,
            readonly_paths=intent.readonly_paths,
        ),
    )


def plan_cgroup_path(intent: ContainerIntent) -> str:
    """Return the container's cgroup: below ``--cgroup-parent``, the daemon's, or its instance's."""
    return cgroup_path(intent.id, intent.host, intent.settings)


def cgroup_path(identifier: str, host: HostConfig, settings: DaemonSettings) -> str:
    """Return a container's cgroup, below each hierarchy's mount point."""
    parent = host.cgroup_parent or settings.cgroup_parent or instance_name(settings)
    return f"/{parent.strip('/')}/{identifier}"
