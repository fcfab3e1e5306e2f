"""The firewall: rules that never change, sets that do.

Read ``ruleset.py`` (the whole rule set, and a table that tells it), ``entries.py`` (what networks,
endpoints and ports are as elements of its sets), ``steps.py`` (how elements come and go).

Docker's counterpart: libnetwork's ``iptables`` and ``drivers/bridge/internal/nftabler``.
"""
