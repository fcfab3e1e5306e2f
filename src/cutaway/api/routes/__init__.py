"""The operations of the API, one module for each group, one thin function for each operation.

A function reads its parameters, calls one method of a backend and answers. Each module ends with
``ROUTES``, the table that says path, parameters and types; ``table.py`` joins them.

Read ``params`` and ``containers`` first.

Docker's counterpart: ``daemon/server/router``.
"""
