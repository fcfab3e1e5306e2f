"""From log settings to a driver."""

from functools import partial

from cutaway.errors import System
from cutaway.shim.logs.channel import Channel
from cutaway.shim.logs.driver import FileLog, LogDriver
from cutaway.shim.logs.journald import JournaldSink
from cutaway.shim.logs.syslog import SyslogSink
from cutaway.shim.logs.tee import Sink, TeeLog
from cutaway.shim.loop import Loop
from cutaway.shim.protocol import LogSettings, LogSink, ProtocolError

# What a syslog daemon of this machine may listen on, as Go's log/syslog tries them.
SYSLOG_SOCKETS = ("/dev/log", "/var/run/syslog", "/var/run/log")


def open_log(settings: LogSettings | None, loop: Loop) -> LogDriver:
    """Return the driver that the settings ask for; ``loop`` serves its connection, if it has one.

    Raises:
        ProtocolError: an unknown driver (the engine refuses those before).
        System: the log daemon does not answer.
        OSError: the log file cannot be opened.
    """
    if settings is None:
        return LogDriver()
    if settings.driver not in ("json-file", "local", "none"):
        raise ProtocolError(f"unknown log driver {settings.driver!r}")
    if settings.sink is None:
        return _open_file(settings)
    return _open_tee(settings, settings.sink, loop)


def _open_file(settings: LogSettings) -> LogDriver:
    return LogDriver() if settings.driver == "none" else FileLog(settings)


def _open_tee(settings: LogSettings, sink: LogSink, loop: Loop) -> LogDriver:
    try:
        channel = _open_channel(sink, loop)
    except OSError as error:
        raise System(
            f"failed to initialize logging driver: {sink.driver}: no log daemon answers at "
            f"{_shown_address(sink)}: {error.strerror or error}"
        ) from None
    return TeeLog(_make_sink(sink, channel), _open_file(settings))


def _open_channel(sink: LogSink, loop: Loop) -> Channel:
    kind, address = sink.protocol, (sink.host, sink.port) if sink.port else sink.host
    connect = partial(Channel, loop, limit_bytes=sink.limit_bytes, drops=sink.drops)
    if kind:
        return connect(kind, address)
    failure: OSError | None = None
    for path in SYSLOG_SOCKETS:
        for kind in ("unixgram", "unix"):
            try:
                return connect(kind, path)
            except OSError as error:
                failure = failure or error
    raise failure or OSError("no socket")


def _shown_address(sink: LogSink) -> str:
    if not sink.protocol:
        return ", ".join(SYSLOG_SOCKETS)
    return f"{sink.protocol}://{sink.host}{f':{sink.port}' if sink.port else ''}"


def _make_sink(sink: LogSink, channel: Channel) -> Sink:
    if sink.driver == "journald":
        return JournaldSink(channel, sink.fields or {})
    return SyslogSink(channel, form=sink.form, facility=sink.facility, tag=sink.tag)
