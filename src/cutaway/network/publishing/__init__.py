"""Published ports: who has which, and how one is taken.

``ports.py`` is the book, pure; ``hostports.py`` takes a port of the host by binding it, and finds
out who has one that is taken.
"""
