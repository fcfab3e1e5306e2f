"""The Engine API: HTTP in front, Protocols behind.

Problem: thirty kinds of client of twelve years speak to one engine. They hijack connections, match
error texts, send keys in any case and null anywhere. Model: four layers, each with one task.

==================  ==============================================================================
``connection``      bytes: sockets, TLS, h11, limits, hijack. Knows no route
``normalise``       Go's reading of JSON (case-insensitive keys, null anywhere) made strict
``routes/``         one thin function for each operation: parse, call the backend, answer
``versions``        one adapter for each step between API versions; behind it is only the newest
==================  ==============================================================================

Read ``backend.py`` first: it says, as Protocols, what an engine must offer. ``status.py`` is the
only place where an error becomes an HTTP status.

Docker's counterpart: ``daemon/server`` (routers, httpstatus, middleware).
"""
