"""The files by which a container knows names: ``/etc/hosts``, ``resolv.conf``, ``hostname``.

``etcfiles.py`` knows the formats, ``files.py`` what goes into them.
"""
