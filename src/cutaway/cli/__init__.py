"""The ``cutaway`` command: docker's spelling, flags, output and exit codes.

The problem: people and scripts have ``docker`` in their fingers, and a command that takes longer to
start than the container it starts is no fun.

The model: a table maps a command's words to one module; only that module is imported. A command's
flags are declared in the words of its own help text, so the help can't lie. Each command is a
function from parsed flags to an exit code that talks to the engine through ``client``; nothing
here knows how a container works.

Words: *flag* and *argument* as docker's help uses them; *template* is a Go template (``--format``).

Read ``command.py``, ``flags.py``, ``main.py``, then ``commands/run.py`` with ``creating/`` and
``screen/``; ``settings/`` finds the engine.

Docker's counterpart: the repository ``docker/cli``.
"""
