"""What was logged is read back, by every option, over rotations, in both formats."""

import contextlib
import gzip
import json
import os
import random

import pytest

from cutaway.shim.logs import stdcopy
from cutaway.shim.logs.clock import format_fixed, format_rfc3339_nano
from cutaway.shim.logs.driver import FileLog
from cutaway.shim.logs.reader import LogReader, ReadOptions
from cutaway.shim.protocol import LogSettings

DRIVERS = ["json-file", "local"]


def settings_for(tmp_path, driver, **options):
    return LogSettings(driver=driver, path=str(tmp_path / "c-json.log"), **options)


def read(settings, *, framed=False, **options):
    with LogReader(settings, ReadOptions(**options), framed=framed) as reader:
        return b"".join(reader.chunks())


@pytest.mark.parametrize("driver", DRIVERS)
def test_text_comes_back_byte_for_byte(tmp_path, driver):
    settings = settings_for(tmp_path, driver)
    log = FileLog(settings)
    text = 'plain\n\\n\n tab\t"q" <&> \u2028 ü\n\n'.encode() + b"x" * 40000 + b"\nlast\\n"
    for start in range(0, len(text), 1000):
        log.write(stdcopy.STDOUT, text[start : start + 1000])
    log.finish(stdcopy.STDOUT)
    assert read(settings) == text


def test_local_keeps_binary_output(tmp_path):
    settings = settings_for(tmp_path, "local")
    data = random.Random(1).randbytes(300_000)
    log = FileLog(settings)
    log.write(stdcopy.STDOUT, data)
    log.finish(stdcopy.STDOUT)
    assert read(settings) == data


@pytest.mark.parametrize("driver", DRIVERS)
def test_streams_are_framed_and_chosen(tmp_path, driver):
    settings = settings_for(tmp_path, driver)
    log = FileLog(settings)
    log.write(stdcopy.STDOUT, b"one\ntwo\n")
    log.write(stdcopy.STDERR, b"err\n")
    log.write(stdcopy.STDOUT, b"three\n")
    frames, rest = stdcopy.split(read(settings, framed=True))
    assert rest == b""
    assert frames == [(1, b"one\ntwo\n"), (2, b"err\n"), (1, b"three\n")]
    assert read(settings, stderr=False) == b"one\ntwo\nthree\n"
    assert read(settings, stdout=False) == b"err\n"


@pytest.mark.parametrize("driver", DRIVERS)
def test_tail_counts_entries_of_both_streams_over_all_files(tmp_path, driver):
    settings = settings_for(tmp_path, driver, max_size_bytes=5000, max_files=50)
    log = FileLog(settings)
    lines = [b"line %d\n" % number for number in range(1000)]
    for start in range(0, 1000, 7):
        log.write(stdcopy.STDOUT, b"".join(lines[start : start + 7]))
    for tail in (0, 1, 6, 7, 8, 100, 999, 1000, 5000):
        expected = lines[-tail:] if tail else []
        assert read(settings, tail=tail) == b"".join(expected), tail
    assert read(settings) == b"".join(lines)


@pytest.mark.parametrize("driver", DRIVERS)
def test_since_and_until_include_their_moment(tmp_path, driver, monkeypatch):
    settings = settings_for(tmp_path, driver)
    log = FileLog(settings)
    for second in range(5):
        monkeypatch.setattr("time.time_ns", lambda second=second: second * 10**9)
        log.write(stdcopy.STDOUT, b"second %d\n" % second)
    assert read(settings, since_ns=2 * 10**9, until_ns=3 * 10**9) == b"second 2\nsecond 3\n"
    assert (
        read(settings, since_ns=4 * 10**9, timestamps=True)
        == format_fixed(4 * 10**9) + b" second 4\n"
    )


def test_timestamps_stand_before_every_line_of_a_batch(tmp_path, monkeypatch):
    settings = settings_for(tmp_path, "json-file", attrs={"b": "2", "a": "1"})
    monkeypatch.setattr("time.time_ns", lambda: 5)
    log = FileLog(settings)
    log.write(stdcopy.STDOUT, b"a\nb\n")
    stamp = format_fixed(5)
    assert read(settings, timestamps=True) == stamp + b" a\n" + stamp + b" b\n"
    assert read(settings, details=True) == b"a=1,b=2 a\na=1,b=2 b\n"


def test_a_file_ends_with_the_entry_that_reached_its_size_and_the_oldest_is_dropped(tmp_path):
    settings = settings_for(tmp_path, "json-file", max_size_bytes=1000, max_files=3)
    log = FileLog(settings)
    log.write(stdcopy.STDOUT, b"".join(b"%040d\n" % number for number in range(100)))
    files = sorted(os.listdir(tmp_path))
    assert files == ["c-json.log", "c-json.log.1", "c-json.log.2"]
    for name in files[1:]:
        content = (tmp_path / name).read_bytes()
        *_, last = content.splitlines(keepends=True)
        assert len(content) >= 1000 > len(content) - len(last)
    text = read(settings)
    assert text.endswith(b"%040d\n" % 99)
    assert b"%040d\n" % 0 not in text


def test_one_file_is_emptied_at_its_size(tmp_path):
    settings = settings_for(tmp_path, "json-file", max_size_bytes=500, max_files=1)
    log = FileLog(settings)
    for number in range(50):
        log.write(stdcopy.STDOUT, b"%d\n" % number)
    assert os.listdir(tmp_path) == ["c-json.log"]
    assert (tmp_path / "c-json.log").stat().st_size < 700


@pytest.mark.parametrize("driver", DRIVERS)
def test_rotated_files_are_compressed_by_a_child_and_still_read(tmp_path, driver):
    settings = settings_for(tmp_path, driver, max_size_bytes=4000, max_files=20, compress=True)
    log = FileLog(settings)
    lines = [b"number %d\n" % number for number in range(400)]
    for start in range(0, 400, 5):
        log.write(stdcopy.STDOUT, b"".join(lines[start : start + 5]))
        with contextlib.suppress(ChildProcessError):
            compression = log._file._compression
            if compression is None:
                continue
            # Only our own child: this process may have others, of other tests.
            pid, status = os.waitpid(compression.pid, 0 if start % 60 == 0 else os.WNOHANG)
            assert not pid or log.child_ended(pid, succeeded=status == 0)
    assert read(settings) == b"".join(lines)
    packed = [name for name in os.listdir(tmp_path) if name.endswith(".gz")]
    assert packed
    assert gzip.decompress((tmp_path / packed[0]).read_bytes())


@pytest.mark.parametrize("driver", DRIVERS)
def test_following_sees_every_line_over_rotations(tmp_path, driver):
    settings = settings_for(tmp_path, driver, max_size_bytes=700, max_files=4)
    log = FileLog(settings)
    seen = b""
    written = b""
    with LogReader(settings, ReadOptions(follow=True), framed=True) as reader:
        number = 0
        for chunk in reader.chunks():
            seen += b"".join(text for _, text in stdcopy.split(chunk)[0])
            if chunk:
                continue
            if number == 60:
                reader.finish()
            for _ in range(2):
                if number < 60:
                    written += b"line %d\n" % number
                    log.write(stdcopy.STDOUT, b"line %d\n" % number)
                    number += 1
    assert seen == written


def test_following_frames_each_line_alone(tmp_path):
    settings = settings_for(tmp_path, "json-file")
    FileLog(settings).write(stdcopy.STDOUT, b"a\r\nb\x0bc\nd\n")
    with LogReader(settings, ReadOptions(follow=True), framed=True) as reader:
        reader.finish()
        frames, _ = stdcopy.split(b"".join(reader.chunks()))
    assert frames == [(1, b"a\r\n"), (1, b"b\x0bc\n"), (1, b"d\n")]


def test_dockerds_own_lines_and_torn_ones_are_read(tmp_path):
    settings = settings_for(tmp_path, "json-file")
    entries = []
    for number in range(3):
        stamp = format_rfc3339_nano(number + 1).decode()
        entries.append(json.dumps({"log": f"l{number}\n", "stream": "stdout", "time": stamp}))
    (tmp_path / "c-json.log").write_text(
        "\n".join([entries[0], '{"log":"torn', *entries[1:], '{"lo'])
    )
    assert read(settings) == b"l0\nl1\nl2\n"


def test_a_missing_log_is_an_empty_one(tmp_path):
    assert read(settings_for(tmp_path, "json-file")) == b""
