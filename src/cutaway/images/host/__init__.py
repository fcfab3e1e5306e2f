"""An image made of this machine's own programs, so that the first container needs no registry.

The problem: a program is not one file. It needs the loader that its ELF header names, the shared
libraries that its dynamic section names, theirs in turn, found in the order in which the loader
would look; a script needs its interpreter; and all need a few files in ``/etc``.

The model: ``elf`` reads what a file asks for, ``ld_cache`` and ``libraries`` find it as ld.so
does, ``collect`` follows names through symbolic links and gathers a tree (path to file), ``image``
adds the skeleton of a root file system and writes a layer. Nothing is run; the same files give the
same image.

Words: *interpreter* (the loader of a program, or the program of a script), *soname* (a library's
name as others ask for it), *RPATH* and *RUNPATH* (directories an ELF file wants searched).

Docker's counterpart: none; the nearest is ``FROM scratch`` with a pile of COPY lines.
"""
