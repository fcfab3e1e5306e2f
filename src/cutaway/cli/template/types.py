"""The Go types that docker's client reads ``inspect``, ``info`` and events into.

Needed because templates print them: ``{{.NetworkSettings.Ports}}`` is
``map[80/tcp:[{0.0.0.0 8080}]]``, the fields of a struct in the order of its declaration. A field is
found in the JSON by its name regardless of case; where that differs, ``=JSONNAME`` says so, and
``~`` marks a struct whose fields are also its owner's.

Source: ``docker inspect --format '{{printf "%#v" .}}'`` of docker 28.
"""

from typing import Any

from cutaway.cli.template.values import GoBool, GoInt, GoList, GoMap, GoNil, GoStr, GoStruct
from cutaway.cli.units import go_time

_STRUCTS = {
    "container.InspectResponse": """~ContainerJSONBase *container.ContainerJSONBase
        Mounts []container.MountPoint; Config *container.Config
        NetworkSettings *container.NetworkSettings; ImageManifestDescriptor *v1.Descriptor""",
    "container.ContainerJSONBase": """ID string; Created string; Path string; Args []string
        State *container.State; Image string; ResolvConfPath string; HostnamePath string
        HostsPath string; LogPath string; Name string; RestartCount int; Driver string
        Platform string; MountLabel string; ProcessLabel string; AppArmorProfile string
        ExecIDs []string; HostConfig *container.HostConfig; GraphDriver storage.DriverData
        SizeRw *int64; SizeRootFs *int64""",
    "container.State": """Status container.ContainerState; Running bool; Paused bool
        Restarting bool; OOMKilled bool; Dead bool; Pid int; ExitCode int; Error string
        StartedAt string; FinishedAt string; Health *container.Health""",
    "container.Health": """Status container.HealthStatus; FailingStreak int
        Log []*container.HealthcheckResult""",
    "container.HealthcheckResult": """Start time.Time; End time.Time; ExitCode int
        Output string""",
    "container.MountPoint": """Type mount.Type; Name string; Source string; Destination string
        Driver string; Mode string; RW bool; Propagation mount.Propagation""",
    "container.Config": """Hostname string; Domainname string; User string; AttachStdin bool
        AttachStdout bool; AttachStderr bool; ExposedPorts nat.PortSet; Tty bool; OpenStdin bool
        StdinOnce bool; Env []string; Cmd strslice.StrSlice; Healthcheck *v1.HealthcheckConfig
        ArgsEscaped bool; Image string; Volumes map[string]struct {}; WorkingDir string
        Entrypoint strslice.StrSlice; NetworkDisabled bool; MacAddress string; OnBuild []string
        Labels map[string]string; StopSignal string; StopTimeout *int; Shell strslice.StrSlice""",
    "v1.HealthcheckConfig": """Test []string; Interval time.Duration; Timeout time.Duration
        StartPeriod time.Duration; StartInterval time.Duration; Retries int""",
    "container.HostConfig": """Binds []string; ContainerIDFile string
        LogConfig container.LogConfig; NetworkMode container.NetworkMode; PortBindings nat.PortMap
        RestartPolicy container.RestartPolicy; AutoRemove bool; VolumeDriver string
        VolumesFrom []string; ConsoleSize [2]uint; Annotations map[string]string
        CapAdd strslice.StrSlice; CapDrop strslice.StrSlice; CgroupnsMode container.CgroupnsMode
        DNS []string; DNSOptions []string; DNSSearch []string; ExtraHosts []string
        GroupAdd []string; IpcMode container.IpcMode; Cgroup container.CgroupSpec; Links []string
        OomScoreAdj int; PidMode container.PidMode; Privileged bool; PublishAllPorts bool
        ReadonlyRootfs bool; SecurityOpt []string; StorageOpt map[string]string
        Tmpfs map[string]string; UTSMode container.UTSMode; UsernsMode container.UsernsMode
        ShmSize int64; Sysctls map[string]string; Runtime string; Isolation container.Isolation
        ~Resources container.Resources; Mounts []mount.Mount; MaskedPaths []string
        ReadonlyPaths []string; Init *bool""",
    "container.LogConfig": "Type string; Config map[string]string",
    "container.RestartPolicy": "Name container.RestartPolicyMode; MaximumRetryCount int",
    "container.Resources": """CPUShares int64; Memory int64; NanoCPUs int64; CgroupParent string
        BlkioWeight uint16; BlkioWeightDevice []*blkiodev.WeightDevice
        BlkioDeviceReadBps []*blkiodev.ThrottleDevice
        BlkioDeviceWriteBps []*blkiodev.ThrottleDevice
        BlkioDeviceReadIOps []*blkiodev.ThrottleDevice
        BlkioDeviceWriteIOps []*blkiodev.ThrottleDevice; CPUPeriod int64; CPUQuota int64
        CPURealtimePeriod int64; CPURealtimeRuntime int64; CpusetCpus string; CpusetMems string
        Devices []container.DeviceMapping; DeviceCgroupRules []string
        DeviceRequests []container.DeviceRequest; KernelMemory int64; KernelMemoryTCP int64
        MemoryReservation int64; MemorySwap int64; MemorySwappiness *int64; OomKillDisable *bool
        PidsLimit *int64; Ulimits []*units.Ulimit; CPUCount int64; CPUPercent int64
        IOMaximumIOps uint64; IOMaximumBandwidth uint64""",
    "container.DeviceMapping": """PathOnHost string; PathInContainer string
        CgroupPermissions string""",
    "container.DeviceRequest": """Driver string; Count int; DeviceIDs []string
        Capabilities [][]string; Options map[string]string""",
    "mount.Mount": """Type mount.Type; Source string; Target string; ReadOnly bool
        Consistency mount.Consistency; BindOptions *mount.BindOptions
        VolumeOptions *mount.VolumeOptions; ImageOptions *mount.ImageOptions
        TmpfsOptions *mount.TmpfsOptions; ClusterOptions *mount.ClusterOptions""",
    "storage.DriverData": "Data map[string]string; Name string",
    "nat.PortBinding": "HostIP string; HostPort string",
    "container.NetworkSettings": """~NetworkSettingsBase container.NetworkSettingsBase
        ~DefaultNetworkSettings container.DefaultNetworkSettings
        Networks map[string]*network.EndpointSettings""",
    "container.NetworkSettingsBase": """Bridge string; SandboxID string; SandboxKey string
        Ports nat.PortMap; HairpinMode bool; LinkLocalIPv6Address string
        LinkLocalIPv6PrefixLen int; SecondaryIPAddresses []network.Address
        SecondaryIPv6Addresses []network.Address""",
    "container.DefaultNetworkSettings": """EndpointID string; Gateway string
        GlobalIPv6Address string; GlobalIPv6PrefixLen int; IPAddress string; IPPrefixLen int
        IPv6Gateway string; MacAddress string""",
    "network.EndpointSettings": """IPAMConfig *network.EndpointIPAMConfig; Links []string
        Aliases []string; MacAddress string; DriverOpts map[string]string; GwPriority int
        NetworkID string; EndpointID string; Gateway string; IPAddress string; IPPrefixLen int
        IPv6Gateway string; GlobalIPv6Address string; GlobalIPv6PrefixLen int
        DNSNames []string""",
    "network.EndpointIPAMConfig": """IPv4Address string; IPv6Address string
        LinkLocalIPs []string""",
    "v1.Descriptor": """MediaType string; Digest digest.Digest; Size int64; URLs []string
        Annotations map[string]string; Data []uint8; Platform *v1.Platform
        ArtifactType string""",
    "v1.Platform": """Architecture string; OS string; OSVersion=os.version string
        OSFeatures=os.features []string; Variant string""",
    "image.InspectResponse": """ID string; RepoTags []string; RepoDigests []string; Parent string
        Comment string; Created string; Container string; ContainerConfig *container.Config
        DockerVersion string; Author string; Config *v1.DockerOCIImageConfig; Architecture string
        Variant string; Os string; OsVersion string; Size int64; VirtualSize int64
        GraphDriver storage.DriverData; RootFS image.RootFS; Metadata image.Metadata
        Descriptor *v1.Descriptor; Manifests []image.ManifestSummary""",
    "v1.DockerOCIImageConfig": """~ImageConfig v1.ImageConfig
        ~DockerOCIImageConfigExt v1.DockerOCIImageConfigExt""",
    "v1.ImageConfig": """User string; ExposedPorts map[string]struct {}; Env []string
        Entrypoint []string; Cmd []string; Volumes map[string]struct {}; WorkingDir string
        Labels map[string]string; StopSignal string; ArgsEscaped bool""",
    "v1.DockerOCIImageConfigExt": """Healthcheck *v1.HealthcheckConfig; OnBuild []string
        Shell []string""",
    "image.RootFS": "Type string; Layers []string",
    "image.Metadata": "LastTagTime time.Time",
    "network.Inspect": """Name string; ID string; Created time.Time; Scope string; Driver string
        EnableIPv4 bool; EnableIPv6 bool; IPAM network.IPAM; Internal bool; Attachable bool
        Ingress bool; ConfigFrom network.ConfigReference; ConfigOnly bool
        Containers map[string]network.EndpointResource; Options map[string]string
        Labels map[string]string; Peers []network.PeerInfo
        Services map[string]network.ServiceInfo""",
    "network.IPAM": "Driver string; Options map[string]string; Config []network.IPAMConfig",
    "network.IPAMConfig": """Subnet string; IPRange string; Gateway string
        AuxAddress=AuxiliaryAddresses map[string]string""",
    "network.ConfigReference": "Network string",
    "network.EndpointResource": """Name string; EndpointID string; MacAddress string
        IPv4Address string; IPv6Address string""",
    "volume.Volume": """ClusterVolume *volume.ClusterVolume; CreatedAt string; Driver string
        Labels map[string]string; Mountpoint string; Name string; Options map[string]string
        Scope string; Status map[string]interface {}; UsageData *volume.UsageData""",
    "volume.UsageData": "RefCount int64; Size int64",
    "events.Message": """Status string; ID string; From string; Type events.Type
        Action events.Action; Actor events.Actor; Scope string; Time int64; TimeNano int64""",
    "events.Actor": "ID string; Attributes map[string]string",
    "system.dockerInfo": """~Info *system.Info; ServerErrors []string; UserName string
        ClientInfo *system.clientInfo; ClientErrors []string""",
    "system.clientInfo": "Debug bool; Version string; Context string",
    "system.Info": """ID string; Containers int; ContainersRunning int; ContainersPaused int
        ContainersStopped int; Images int; Driver string; DriverStatus [][2]string
        SystemStatus [][2]string; Plugins system.PluginsInfo; MemoryLimit bool; SwapLimit bool
        KernelMemory bool; KernelMemoryTCP bool; CPUCfsPeriod bool; CPUCfsQuota bool
        CPUShares bool; CPUSet bool; PidsLimit bool; IPv4Forwarding bool; Debug bool; NFd int
        OomKillDisable bool; NGoroutines int; SystemTime string; LoggingDriver string
        CgroupDriver string; CgroupVersion string; NEventsListener int; KernelVersion string
        OperatingSystem string; OSVersion string; OSType string; Architecture string
        IndexServerAddress string; RegistryConfig *registry.ServiceConfig; NCPU int
        MemTotal int64; GenericResources []swarm.GenericResource; DockerRootDir string
        HTTPProxy string; HTTPSProxy string; NoProxy string; Name string; Labels []string
        ExperimentalBuild bool; ServerVersion string
        Runtimes map[string]system.RuntimeWithStatus; DefaultRuntime string; Swarm swarm.Info
        LiveRestoreEnabled bool; Isolation container.Isolation; InitBinary string
        ContainerdCommit system.Commit; RuncCommit system.Commit; InitCommit system.Commit
        SecurityOptions []string; ProductLicense string
        DefaultAddressPools []system.NetworkAddressPool; FirewallBackend *system.FirewallInfo
        CDISpecDirs []string; DiscoveredDevices []system.DeviceInfo
        Containerd *system.ContainerdInfo; Warnings []string""",
    "system.PluginsInfo": """Volume []string; Network []string; Authorization []string
        Log []string""",
    "system.RuntimeWithStatus": "~Runtime system.Runtime; Status map[string]string",
    "system.Runtime": """Path string; Args=runtimeArgs []string; Type string
        Options map[string]interface {}""",
    "system.Commit": "ID string; Expected string",
    "swarm.Info": """NodeID string; NodeAddr string; LocalNodeState swarm.LocalNodeState
        ControlAvailable bool; Error string; RemoteManagers []swarm.Peer; Nodes int; Managers int
        Cluster *swarm.ClusterInfo; Warnings []string""",
    "system.versionInfo": "Client system.clientVersion; Server *types.Version",
    "system.clientVersion": """Platform *system.platformInfo; Version string; APIVersion string
        DefaultAPIVersion string; GitCommit string; GoVersion string; Os string; Arch string
        BuildTime string; Context string""",
    "types.Version": """Platform system.platformInfo; Components []types.ComponentVersion
        Version string; APIVersion string; MinAPIVersion string; GitCommit string
        GoVersion string; Os string; Arch string; KernelVersion string; Experimental bool
        BuildTime string""",
    "types.ComponentVersion": "Name string; Version string; Details map[string]string",
    "system.platformInfo": "Name string",
    "units.Ulimit": "Name string; Hard int64; Soft int64",
    "struct {}": "",
}
_OTHERS = {
    "nat.PortMap": "map[nat.Port][]nat.PortBinding",
    "nat.PortSet": "map[nat.Port]struct {}",
    "strslice.StrSlice": "[]string",
}
_INTEGERS = {"int", "int64", "uint", "uint8", "uint16", "uint64", "time.Duration"}


def typed(value: Any, go_type: str) -> Any:
    """Give a JSON value a Go type, all the way down; an absent one becomes the type's zero."""
    if go_type.startswith("*"):
        return _pointer(value, go_type)
    shape = _OTHERS.get(go_type, go_type)
    if shape in _STRUCTS:
        return _struct(value if isinstance(value, dict) else {}, go_type)
    if shape.startswith("["):
        found = GoList(typed(item, shape.partition("]")[2]) for item in value or [])
        found.go_type = go_type
        return found
    if shape.startswith("map["):
        inner = shape.partition("]")[2]
        mapped = GoMap((key, typed(item, inner)) for key, item in (value or {}).items())
        mapped.go_type, mapped.zero = go_type, typed(None, inner)
        return mapped
    return _scalar(value, go_type)


def _pointer(value: Any, go_type: str) -> Any:
    if value is None:
        return GoNil(go_type)
    inner = typed(value, go_type[1:])
    if isinstance(inner, bool):
        inner = GoBool(inner)
    if isinstance(inner, GoStruct | GoInt | GoBool):
        inner.go_type = go_type
    return inner


def _scalar(value: Any, go_type: str) -> Any:
    if go_type in {"interface {}", "bool"}:
        return value if go_type != "bool" else bool(value)
    if go_type in _INTEGERS:
        return int(value or 0) if go_type == "int" else _named(GoInt(value or 0), go_type)
    if isinstance(value, dict | list | bool):
        return value
    if go_type == "string":
        return str(value or "")
    text: GoStr = _named(GoStr(value or ""), go_type)
    if go_type == "time.Time":
        text.shown = go_time(str(text))
    return text


def _named(value: Any, go_type: str) -> Any:
    value.go_type = go_type
    return value


def _struct(raw: dict[str, Any], go_type: str) -> GoStruct:
    by_name = {key.lower(): item for key, item in raw.items()}
    found = GoStruct()
    embedded = []
    for declaration in _STRUCTS[_OTHERS.get(go_type, go_type)].replace("\n", ";").split(";"):
        name, _, kind = declaration.strip().partition(" ")
        if not name:
            continue
        if name.startswith("~"):
            embedded.append(name[1:])
            found[name[1:]] = typed(raw, kind)
            continue
        name, _, key = name.partition("=")
        found[name] = typed(by_name.get((key or name).lower()), kind)
    found.go_type, found.raw, found.embedded = go_type, raw, tuple(embedded)
    return found
