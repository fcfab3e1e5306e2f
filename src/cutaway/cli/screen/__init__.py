"""What a person at the terminal sees, and what they type.

The problem: output is read by people and by scripts, work takes longer than patience, and a
container's terminal must feel like one's own.

The model: tables and templates go to standard output; bars and moving lines go to a terminal only,
fit its width, and leave nothing behind. A session joins this terminal and a container's stream.

Words: *detach keys* leave a container running; *raw mode* hands every key on.

Read ``table.py``, ``progress.py``, ``moving_line.py``, then ``terminal.py`` and ``attached.py``.

Docker's counterpart: docker/cli ``cli/command/formatter``, ``cli/streams``; moby/term.
"""
