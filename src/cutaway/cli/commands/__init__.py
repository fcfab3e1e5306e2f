"""The commands, one module for each family; ``cli/index.py`` says which module has which.

Every module ends with ``COMMANDS``, its ``Command`` values. A command prints what docker's prints
and returns an exit code; errors are raised and printed by ``cli/main.py``.

Read ``run.py`` first. Docker's counterpart: ``docker/cli``, folder ``cli/command``.
"""
