"""A container's output on disk: written by its shim, read by the engine, in Docker's format.

The problem: a container may print 200 MB in a second or one line a day; both must be in the log,
whole and in order, at next to no cost, and anybody may want to read it while it is written.

The model: a *splitter* cuts what a pipe delivers into lines as Docker's copier does (a line longer
than 16 KiB is cut in partial entries). A *driver* turns whole batches of lines into bytes of its
format with a handful of C-speed calls, never line by line, and appends them to a *log file*, which
rotates. A *reader* (in another process) finds its place from the end (``tail``) or by time
(``since``), and follows the file over rotations.

Words: *entry* (one line with its stream and time), *partial* (a piece of a line that has no end
yet), *batch* (the lines of one read), *stdcopy* (Docker's framing of stdout and stderr in one
connection).

Read ``lines.py``, ``jsonfile.py``, ``logfile.py``, ``driver.py``, then ``reader.py``.

Docker's counterpart: ``daemon/logger`` (``copier.go``, ``jsonfilelog``, ``local``,
``loggerutils/logfile.go``).
"""
