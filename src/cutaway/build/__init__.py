"""From a Dockerfile to an image: parse, plan a graph, solve it with a cache.

The problem: a Dockerfile is a list of commands, but what it describes is a graph. Stages depend on
one another only where ``FROM`` and ``--from`` say so; a step whose inputs are the same as last time
has the same result; and the difference between "the same text" and "the same inputs" is where
caches are poisoned.

The model, in four stages, each a value that can be printed:

1. ``dockerfile/``: text to typed instructions, every error with line and caret.
2. ``dockerfile/frontend``: instructions to a ``Graph`` of vertices (an image, a copy, a run) and,
   for each stage, the image configuration. Pure, but for asking what a base image is.
3. ``solve/``: vertices to layers. Unused stages are never reached; independent vertices run at the
   same time; a vertex's cache key is a digest of its definition and of its inputs' *content*.
4. ``classic``: what happened, told in the words of Docker's classic builder.

The core takes a graph, not a Dockerfile, so that BuildKit's own protocol can feed it later.

Words: *instruction*, *stage*, *context*, *ONBUILD trigger* (Dockerfile reference); *vertex*,
*frontend*, *solver*, *cache key* (BuildKit).

Read ``dockerfile/``, ``graph.py``, ``solve/``, ``service.py``, ``portable/``.

Docker's counterpart: ``builder/dockerfile`` in moby (the classic builder), and BuildKit.
"""
