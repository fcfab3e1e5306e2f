"""The firewall: rules that never change, sets that do.

Read ``ruleset.py`` (the whole rule set, and a table that tells it) with ``egress.py``,
``spoofing.py`` and ``same_link.py``, ``sets.py``, ``entries.py`` (what networks, endpoints and
ports are as elements of the sets), ``steps.py`` (how elements come and go). Of others' rules:
``tracing/`` follows them, ``reaching.py`` and ``diagnosis.py`` answer by it.

Docker's counterpart: libnetwork's ``iptables`` and ``drivers/bridge/internal/nftabler``.
"""
