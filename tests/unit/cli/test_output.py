"""Tables, ports and progress as docker prints them."""

import io

import pytest

from cutaway.cli.commands.containers import format_ports
from cutaway.cli.commands.copy import split_container_path
from cutaway.cli.commands.images import image_rows, split_tag
from cutaway.cli.commands.stats import cpu_percent
from cutaway.cli.commands.system import event_line
from cutaway.cli.commands.transparent import story_text
from cutaway.cli.exit_codes import start_failure_code
from cutaway.cli.screen.progress import StreamedError, progress_bar, show_progress
from cutaway.cli.screen.table import print_rows


def test_table(capsys):
    rows = [{"ID": "a", "Name": "first"}, {"ID": "long-id", "Name": "b"}]
    columns = {"ID": "ID", "Name": "NAME"}
    print_rows(rows, columns, template=None, default=["ID", "Name"])
    assert capsys.readouterr().out == "ID        NAME\na         first\nlong-id   b\n"


def test_table_template_and_json(capsys):
    rows = [{"ID": "a", "Names": "n"}]
    columns = {"ID": "CONTAINER ID", "Names": "NAMES"}
    print_rows(rows, columns, template="table {{.Names}}\\t{{.ID}}", default=[])
    print_rows(rows, columns, template="json", default=[])
    print_rows(rows, columns, template="{{.ID}}!", default=[])
    assert capsys.readouterr().out == (
        'NAMES     CONTAINER ID\nn         a\n{"ID":"a","Names":"n"}\na!\n'
    )


def test_ports_are_grouped():
    ports = [
        {"PrivatePort": p, "PublicPort": p + 8000, "IP": "0.0.0.0", "Type": "tcp"}
        for p in (80, 81, 90)
    ]
    ports.append({"PrivatePort": 53, "Type": "udp"})
    assert format_ports(ports) == ("0.0.0.0:8080-8081->80-81/tcp, 0.0.0.0:8090->90/tcp, 53/udp")


def test_an_image_without_a_name_has_one_row():
    summary = {"Id": "sha256:" + "a" * 64, "Created": 1, "Size": 1000, "RepoTags": []}
    rows = image_rows(summary, digests=False, truncate=True)
    assert [(r["Repository"], r["Tag"], r["ID"]) for r in rows] == [("<none>", "<none>", "a" * 12)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", ("a", "")), ("h:5000/a", ("h:5000/a", "")), ("h:5000/a:t", ("h:5000/a", "t"))],
)
def test_split_tag(text, expected):
    assert split_tag(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("c:/x", ("c", "/x")),
        ("/a:b", ("", "/a:b")),
        ("./c:x", ("", "./c:x")),
        ("-", ("", "-")),
        ("c:x", ("c", "x")),
    ],
)
def test_split_container_path(text, expected):
    assert split_container_path(text) == expected


def test_progress_without_a_terminal_is_plain_lines():
    out = io.StringIO()
    documents = [
        {"status": "Pulling from library/busybox", "id": "latest"},
        {"status": "Downloading", "id": "abc", "progressDetail": {"current": 1, "total": 2}},
        {"status": "Pull complete", "id": "abc", "progressDetail": {}},
        {"aux": {"ID": "x"}},
    ]
    assert show_progress(iter(documents), out) == [{"ID": "x"}]
    assert out.getvalue() == "latest: Pulling from library/busybox\nabc: Pull complete\n"


def test_progress_error_is_raised():
    with pytest.raises(StreamedError, match="denied"):
        show_progress(iter([{"errorDetail": {"message": "denied"}, "error": "denied"}]), None)


def test_progress_bar():
    assert progress_bar(1, 0) == "1B"
    assert progress_bar(5, 10) == f"[{('=' * 25 + '>').ljust(50)}]  5B/10B"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('exec: "foo": executable file not found in $PATH: unknown', 127),
        ('exec: "/foo": stat /foo: no such file or directory: unknown', 127),
        ('exec: "/etc": permission denied: unknown', 126),
        ("Conflict. The container name is already in use", 125),
        ("invalid mount config: bind source path does not exist: no such file or directory", 125),
    ],
)
def test_start_failures(message, code):
    assert start_failure_code(message) == code


def test_cpu_percent():
    document = {
        "cpu_stats": {
            "cpu_usage": {"total_usage": 300},
            "system_cpu_usage": 2000,
            "online_cpus": 2,
        },
        "precpu_stats": {"cpu_usage": {"total_usage": 100}, "system_cpu_usage": 1000},
    }
    assert cpu_percent(document) == 40.0


def test_event_line_names_everything(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    event = {
        "Type": "container",
        "Action": "start",
        "time": 1,
        "timeNano": 1_000_000_002,
        "Actor": {"ID": "abc", "Attributes": {"name": "n", "image": "i"}},
    }
    assert event_line(event).endswith("container start abc (image=i, name=n)")
    assert ".000000002" in event_line(event)


def test_a_story_counts_from_the_start_and_not_from_what_waited_for_it():
    def record(at_ms: int, actor: str, what: str) -> dict[str, object]:
        times = {"started_ns": at_ms * 1_000_000, "duration_ns": 500_000}
        return {**times, "actor": actor, "what": what, "why": "default"}

    told = story_text(
        [record(1000, "shim", "sandbox"), record(9000, "engine", "lo"), record(9002, "init", "end")]
    )
    assert [line.split() for line in told.splitlines() if "why:" not in line] == [
        ["at", "ms", "took", "ms", "by", "step"],
        ["-8000.00", "0.500", "shim", "sandbox"],
        ["0.00", "0.500", "engine", "lo"],
        ["2.00", "0.500", "init", "end"],
        ["3", "steps,", "1.5", "ms", "of", "work"],
    ]
