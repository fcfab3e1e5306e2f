"""The changes a runtime makes, as steps: host side (``host``) and inside the init (all others).

Read ``namespaces``, ``mounts``, ``devices``, ``paths``, ``process`` in this order: it is the order
in which a container comes to be.
"""
