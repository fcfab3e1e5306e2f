"""From what a client asked for to what the runtime is told: config.json, decided and not done.

The problem: a container's configuration comes from four places (image, request, daemon settings,
this machine) and Docker's defaults fill the rest. The model: one value, ``ContainerIntent``, holds
everything that was asked and everything that had to be looked up (a device's numbers, a volume's
directory); ``build_spec`` is a pure function from it to an ``oci.runtime_spec.Spec``. Whatever
needs the disk is looked up before, so a plan can be printed and tested without root.

Words: *intent* (asked and looked up), *spec* (config.json), *extensions* (rootfs.json: what Docker
has and OCI has not: the overlay, users by name, an init).

Read ``intent.py``, ``build.py``, then the parts it joins: ``process.py``, ``mounts.py``,
``namespaces.py``, ``resources.py``, ``security.py``; ``merge.py`` comes before them all.

Docker's counterpart: moby ``daemon/oci_linux.go``.
"""
