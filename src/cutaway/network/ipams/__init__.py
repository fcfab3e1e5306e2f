"""Address management: which subnets a network gets, which address an endpoint gets.

An IPAM is asked for two things: a network's *pools* (subnets, each with its gateway and the
addresses that are taken otherwise) and an endpoint's *addresses*. ``base.py`` is the interface;
``default.py`` cuts pools from the engine's own ranges, ``null.py`` gives none at all, ``remote.py``
asks a plugin. ``subnets.py`` has their arithmetic, ``surroundings.py`` what a new subnet must fit
in beside, ``leases.py`` who has which address, whichever IPAM gave it.

Nothing is given back by a call here: an address is free when no endpoint's record has it. What a
plugin must be told then is a *release* (``network/remote``).

Docker's counterpart: libnetwork's ``ipamapi`` and ``ipams/``.
"""
