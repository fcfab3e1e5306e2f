"""Typed instructions: what each keyword of a Dockerfile means once its words are understood.

Values keep variables unexpanded; ``frontend.py`` expands them with what is known at that place.

Source: Dockerfile reference.
"""

from dataclasses import dataclass

from cutaway.build.dockerfile.lines import Heredoc
from cutaway.build.errors import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What every instruction has.

    Attributes:
        place: where it stands.
        original: in one line, for ``Step 1/3 : …`` and history.
    """

    place: Place
    original: str


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    """``FROM [--platform=P] IMAGE [AS NAME]``: begins a stage."""

    image: str
    stage_name: str = ""
    platform: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    """``ARG NAME[=DEFAULT] …``; a None default means none was written."""

    pairs: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    """``ENV NAME=VALUE …``; with ``is_old_form`` it was ``ENV NAME VALUE``."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    """``LABEL NAME=VALUE …``."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    """``RUN [FLAGS] COMMAND``.

    Attributes:
        words: the exec form, or a single text for the shell.
        is_shell: ``words`` is one text for the stage's SHELL.
        heredocs: documents for the shell.
        mounts: the ``--mount`` texts, unexpanded.
        network: ``default``, ``none`` or ``host``.
        security: ``sandbox`` or ``insecure``.
    """

    words: tuple[str, ...]
    is_shell: bool
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[str, ...] = ()
    network: str = "default"
    security: str = "sandbox"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Instruction):
    """``COPY`` and ``ADD``.

    Attributes:
        sources: paths or, for ADD, URLs and git addresses.
        destination: the last word.
        heredocs: sources that are documents, by their position in ``sources`` (``<<NAME``).
        is_add: archives are unpacked and URLs fetched.
        from_: a stage, its number, or an image; empty is the build context.
        chown, chmod: as written; empty for the defaults.
        link: the result does not depend on what is below.
        parents: keep the sources' directories.
        exclude: patterns of files to leave out.
        checksum: of a URL's content.
        keep_git_dir: keep ``.git`` of a git source.
        unpack: unpack archives (ADD's default; None means by source).
    """

    sources: tuple[str, ...]
    destination: str
    heredocs: tuple[Heredoc, ...] = ()
    is_add: bool = False
    from_: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    """``CMD``."""

    words: tuple[str, ...]
    is_shell: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    """``ENTRYPOINT``."""

    words: tuple[str, ...]
    is_shell: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    """``SHELL ["executable", "parameters"]``."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    """``HEALTHCHECK``; durations in nanoseconds, 0 for the default.

    Attributes:
        test: ``("NONE",)``, ``("CMD", …)`` or ``("CMD-SHELL", text)``.
    """

    test: tuple[str, ...]
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    """``EXPOSE PORT[/PROTOCOL] …``."""

    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    """``VOLUME PATH …``."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    """``USER NAME[:GROUP]``."""

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    """``WORKDIR PATH``."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Instruction):
    """``STOPSIGNAL SIGNAL``."""

    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    """``MAINTAINER NAME``, the old form of a label."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnBuild(Instruction):
    """``ONBUILD INSTRUCTION``: kept as text, parsed again when a child is built."""

    expression: str
