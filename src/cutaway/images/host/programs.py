"""The programs of the image called ``host``, as far as this machine has them."""

# A shell, coreutils, and what one looks around with in a container.
DEFAULT_PROGRAMS = (
    "sh", "bash", "[", "arch", "awk", "b2sum", "base32", "base64", "basename", "bc", "bzip2",
    "cat", "chgrp", "chmod", "chown", "chroot", "cksum", "clear", "cmp", "comm", "cp", "curl",
    "cut", "date", "dd", "df", "diff", "dir", "dirname", "dmesg", "du", "echo", "egrep", "env",
    "expand", "expr", "factor", "false", "fgrep", "file", "find", "flock", "fmt", "fold",
    "free", "getent", "getopt", "grep", "groups", "gunzip", "gzip", "head", "hexdump",
    "hostname", "hostid", "id", "install", "ip", "join", "kill", "less", "link", "ln",
    "logname", "ls", "lscpu", "lsns", "md5sum", "mkdir", "mkfifo", "mknod", "mktemp", "more",
    "mount", "mountpoint", "mv", "nc", "netstat", "nice", "nl", "nohup", "nproc", "nsenter",
    "numfmt", "od", "paste", "pathchk", "pgrep", "ping", "pkill", "pr", "printenv", "printf",
    "prlimit", "ps", "ptx", "pwd", "readlink", "realpath", "renice", "reset", "rev", "rm",
    "rmdir", "sed", "seq", "setpriv", "setsid", "sha1sum", "sha224sum", "sha256sum",
    "sha384sum", "sha512sum", "shred", "shuf", "sleep", "sort", "split", "ss", "stat", "stdbuf",
    "strings", "stty", "su", "sum", "sync", "sysctl", "tac", "tail", "tar", "taskset", "tee",
    "test", "timeout", "top", "touch", "tput", "tr", "true", "truncate", "tsort", "tty",
    "umount", "uname", "unexpand", "uniq", "unlink", "unshare", "uptime", "users", "vdir",
    "vmstat", "watch", "wc", "whereis", "which", "who", "whoami", "xargs", "xz", "yes", "zcat",
)  # fmt: skip
