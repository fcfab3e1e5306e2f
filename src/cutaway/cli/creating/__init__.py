"""From the flags of ``run`` and ``create`` to the body of one request.

The problem: a hundred flags, some with small languages of their own (``--mount``, ``-p``), become
three JSON objects: ``Config``, ``HostConfig`` and ``NetworkingConfig``.

The model: pure functions; only env and label files and this process's environment are read.

Read ``flags.py``, ``body.py``, then ``mounts.py`` and ``ports.py``.

Docker's counterpart: docker/cli ``cli/command/container/opts.go``.
"""
