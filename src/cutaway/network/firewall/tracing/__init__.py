"""Foreign firewalls, read and followed: would this packet get through, and if not, who stops it?

``rulebook.py`` reads the tables of others, ``packet.py`` is a packet that might come,
``machine.py`` runs one rule on it as the kernel does (three-valued: an expression that is not
known here may or may not match), ``walk.py`` follows the chains. Nothing is sent and nothing is
changed.
"""
