"""A container seen from inside by a script, for comparing two runtimes.

What says nothing (dates, numbers of snapshots, the order of independent mounts) is taken away;
what our runtime and runc do differently is in ``DIFFERENCES``, with the reason.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

PROBE = r"""
echo "# status"; grep /proc/self/status \
  -E -e '^(Uid|Gid|Groups|Umask|Sig...:|Cap|NoNewPrivs|Seccomp:|Cpus_allowed_list)'
echo "# mounts"; cat /proc/self/mountinfo
echo "# devices"; ls -ln /dev; ls -ln /dev/net 2>/dev/null
echo "# limits"; cat /proc/self/limits
echo "# env"; env | sort
echo "# names"; hostname; cat /proc/sys/kernel/domainname; pwd; umask; [ $$ = 1 ] && echo first
echo "# id"; id
echo "# oom"; cat /proc/self/oom_score_adj
echo "# ns"; for n in cgroup ipc mnt net pid user uts time; do
  [ "$(readlink /proc/self/ns/$n)" = "$(eval echo \$HOST_$n)" ] && echo "$n host" || echo "$n own"
done
echo "# cgroup"; cd /sys/fs/cgroup 2>/dev/null && for f in memory/memory.limit_in_bytes \
  memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes memory/memory.swappiness \
  memory/memory.oom_control cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us \
  cpuset/cpuset.cpus cpuset/cpuset.mems pids/pids.max devices/devices.list \
  blkio/blkio.throttle.read_bps_device; do echo "$f: $(cat $f 2>/dev/null | tr '\n' ';')"; done
echo "# root"; touch /probe 2>&1; ls -ld / /proc /sys /dev /dev/shm
echo "# sysctl"; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax 2>/dev/null
echo "# links"; ls /sys/class/net
exit 23
"""


@dataclass(frozen=True)
class Difference:
    """Something that is meant to differ: the part of a section's lines, and why."""

    section: str
    pattern: str
    replacement: str
    reason: str


DIFFERENCES = (
    Difference(
        "mounts",
        r"^(/(?:proc|sys)/(?!fs/cgroup)\S+|/etc/passwd|/var) .* (?:dev)?tmpfs .*",
        r"\1 is masked",
        "masked by the host's checked /dev/null and one empty tmpfs of one block, where runc takes "
        "the container's own /dev/null, which an image can exchange (CVE-2025-31133)",
    ),
    Difference(
        "mounts",
        r"^/sys/fs/cgroup / r[ow],",
        "/sys/fs/cgroup / ",
        "the directory of v1's hierarchies is read-only as config.json says; runc 1.1 leaves it "
        "writable, also under dockerd",
    ),
    Difference(
        "mounts",
        r"^(/sys/fs/cgroup/\S+ \S+ \S+) (?:master)? cgroup",
        r"\1 cgroup",
        "runc makes them slaves of the host's mounts; nothing is ever mounted below a cgroup",
    ),
    Difference(
        "cgroup",
        r"c 10:200 rwm ?",
        "",
        "runc 1.1 allows the tun device to every container; runc 1.2 does not",
    ),
    Difference(
        "devices",
        r".* core -> .*",
        "",
        "runc makes no /dev/core where /proc/kcore is missing",
    ),
)

Look = dict[str, list[str]]


def look(output: str, differences: Sequence[Difference] = DIFFERENCES) -> Look:
    """Return the lines that must agree, by section."""
    seen: Look = {}
    lines: list[str] = []
    for line in output.splitlines():
        if line.startswith("# "):
            lines = seen.setdefault(line[2:], [])
        else:
            lines.append(line)
    return {section: _reduce(section, lines, differences) for section, lines in seen.items()}


def _reduce(section: str, lines: list[str], differences: Sequence[Difference]) -> list[str]:
    make = {"mounts": _mount, "cgroup": _cgroup, "devices": _listed, "root": _listed}.get(section)
    reduced = [make(line) if make else line for line in lines]
    for difference in differences:
        if difference.section == section:
            pattern, replacement = difference.pattern, difference.replacement
            reduced = [re.sub(pattern, replacement, line).strip() for line in reduced]
    reduced = [line for line in reduced if line]
    return sorted(reduced) if section in ("mounts", "devices") else reduced


def _mount(line: str) -> str:
    """Reduce a line of mountinfo to what must agree."""
    left, _, right = line.partition(" - ")
    _, _, _, root, point, options, *optional = left.split()
    if point.startswith("/dev/shm/cutaway-test-"):
        return (
            ""  # --ipc host shows the tests' exec root, and in it the root that runc needs mounted
        )
    propagation = ",".join(sorted(word.split(":")[0] for word in optional))
    fstype, source, superblock = right.split(" ", 2)
    kept = sorted(
        option
        for option in superblock.split(",")
        if not re.match(r"(size|nr_inodes|nr_blocks|mode|inode64|seclabel|rw|ro)", option)
        or option.startswith(("size=64k", "size=1024k"))
    )
    words = (point, root, options, propagation, fstype, "" if fstype == "ext4" else source, *kept)
    own = re.sub(r"\b[0-9a-f]{64}\b|\bcutaway-test/\w+", "ID", " ".join(words))
    return re.sub(r"(dir|snapshots)[=/][^ :]*\d[^ :]*", r"\1 N", own)


def _cgroup(line: str) -> str:
    """Sort the values: device rules have no order."""
    file, _, values = line.partition(": ")
    return " ".join([file, *sorted(values.split(";"))])


def _listed(line: str) -> str:
    """Take the date, the count of links, and a directory's size, from a line of ``ls -l``."""
    undated = re.sub(r"\s\w{3}\s+\d+\s+[\d:]+(?= )", "", line)
    kept = re.sub(r"^(d\S+)\s+\d+\s+(\S+)\s+(\S+)\s+\d+", r"\1 \2 \3", undated)
    return "" if line.startswith("total") else " ".join(kept.split())
