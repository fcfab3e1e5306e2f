"""Completion: what may come next on a command line, for any shell.

The problem: a completion script that knows the commands by heart is out of date with the next
command, and one a shell is three times the work.

The model: a shell's script knows nothing. It hands the words typed so far to the hidden command
``cutaway __complete``, which answers from the same table that runs the commands: names from the
index, flags from the declarations, and the kind of each argument from the usage line
(``CONTAINER``, ``IMAGE`` …), whose values the engine is asked for. An engine that does not run is
not started.

Words: a *candidate* is a word and its description; the *directive*, the answer's first line, says
what the shell does with them: ``words``, ``nospace`` (more follows the word) or ``files``.

Read ``candidates.py``, ``values.py``, ``scripts.py``.

Docker's counterpart: cobra's ``__complete`` and docker/cli ``cli/command/completion``.
"""
