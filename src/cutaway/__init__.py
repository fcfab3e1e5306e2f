"""cutaway: a container engine you can see through.

Read ``ARCHITECTURE.md`` first: it follows one ``docker run -p 8080:80 web`` through every package.
Each package's own docstring is its lesson: the problem, the model, the words, the reading order,
and its counterpart in Docker.
"""

__version__ = "0.1.0"
