"""The local driver: a volume is a directory of the engine's, or a file system mounted on one.

The problem: a plain directory may grow until the disk is full, and may be on the wrong disk. So a
local volume can be more than that: what ``type``, ``o`` and ``device`` name is mounted on it (nfs,
tmpfs, another disk); and with ``size`` it is limited, by a *project quota* where the file system
has them, else by being a *disk* of its own in a file.

The model: ``plan_local`` reads the options and decides; ``LocalDriver`` does what is to be done at
create, at the first use, after the last, and at rm, all by steps.

Read ``options.py``, ``driver.py``, ``steps.py``, ``servers.py``.

Docker's counterpart: ``volume/local``.
"""
