"""The changes a runtime makes, as steps: host side (``host``) and inside the init (all others).

Read ``namespaces``, ``rootfs``, ``mounts``, ``devices``, ``paths``, ``kernel``, ``process``,
``security`` in this order: it is the order in which a container comes to be.

Docker's counterpart: runc's ``libcontainer`` (``rootfs_linux.go``, ``init_linux.go``).
"""
