"""What holds for every command: the engine it talks to, and what the user settled once.

The problem: flags, environment, contexts and ``config.json`` all name engines, certificates,
credentials and formats; docker's client and ours must find the same in the same files.

The model: a flag goes before the environment, that before the context, that before the default. An
engine that nobody named and that doesn't run is started.

Words: a *context* is a name for an engine; a *credential helper* is a program that keeps passwords;
a *plug-in* is a program that adds a command.

Read ``contexts.py``, ``config_file.py``, ``credentials.py``.

Docker's counterpart: docker/cli ``cli/config``, ``cli/context``, ``cli-plugins``.
"""
