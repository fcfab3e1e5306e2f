"""Go templates against what Go prints for them."""

import pytest

from cutaway.cli.flags import UnreadableTemplate
from cutaway.cli.template import Template, TemplateError
from cutaway.cli.template.types import typed

DATA = {
    "Id": "abc",
    "State": {"Pid": 3, "Running": True},
    "Mounts": [{"S": "a"}, {"S": "b"}],
    "Labels": {"x.y": "1"},
    "Empty": [],
    "Label": lambda name: {"x.y": "1"}.get(name, ""),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.Id}}", "abc"),
        ("{{json .State}}", '{"Pid":3,"Running":true}'),
        ("{{range $i, $m := .Mounts}}{{$i}}={{.S}};{{end}}", "0=a;1=b;"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{if eq .State.Pid 3}}y{{else}}n{{end}}", "y"),
        ("{{if false}}a{{else if true}}c{{end}}", "c"),
        ('{{index .Labels "x.y"}}{{.Label "x.y"}}', "11"),
        ("{{with .Nope}}a{{else}}b{{end}}{{.Nope}}", "b<no value>"),
        ('{{printf "%-5s|%05d" .Id 42}}', "abc  |00042"),
        ("{{range .Mounts -}} {{.S}} {{- end}}", "ab"),
        ('{{.Id | upper | printf "%q"}}', '"ABC"'),
        ("{{(index .Mounts 0).S}}", "a"),
        ('{{len .Mounts}} {{not true}} {{or 0 "x"}}', "2 false x"),
        ("{{.Labels}} {{.Mounts}}", "map[x.y:1] [map[S:a] map[S:b]]"),
        ('{{join (split "a,b" ",") "-"}}', "a-b"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}}{{end}}", "x.y=1"),
        ("{{$x := 5}}{{$x}}{{$.Id}}{{/* a comment */}}", "5abc"),
        ('{{println "a" 1}}', "a 1\n"),
        ("{{slice .Id 1}}{{.State.Running}}", "bctrue"),
        ('{{"}}"}}', "}}"),
        ("{{range .Mounts}}{{$.Id}}{{end}}", "abcabc"),
        ("{{$x := 1}}{{range .Mounts}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{range .Mounts}}{{.S}}{{break}}{{end}}", "a"),
        ("{{range $i, $m := .Mounts}}{{if eq $i 0}}{{continue}}{{end}}{{$m.S}}{{end}}", "b"),
        ('{{define "x"}}<{{.}}>{{end}}{{template "x" .Id}}', "<abc>"),
        (
            '{{printf "%T %T %T %T" .Id .State .Mounts 1}}',
            "string map[string]interface {} []interface {} int",
        ),
        ('{{printf "%q %x %X %+d %c %t" "a" "hi" 255 7 65 true}}', '"a" 6869 FF +7 A true'),
        (
            '{{printf "%*d|%-4s|%.2f|%8.3f|%e" 5 1 "a" 1.005 3.14159 1234.5}}',
            "    1|a   |1.00|   3.142|1.234500e+03",
        ),
        ('{{printf "%*d|%.*f" "a" 3 "b" 1.5}}', "%!(BADWIDTH)3|%!(BADPREC)2"),
        ('{{printf "%c" 99999999}}', "\ufffd"),
        ('{{slice "é" 0 1}}', "\ufffd"),
        ('{{printf "%d %s" "a"}}', "%!d(string=a) %!s(MISSING)"),
        ('{{printf "x" 1 "b"}}', "x%!(EXTRA int=1, string=b)"),
        ("{{1.5}} {{1e3}} {{0x10}} {{1e21}} {{'a'}}", "1.5 1000 16 1e+21 97"),
        (
            '{{print 1 2 "a" 3 4}}|{{html "<a>"}}|{{urlquery "a b/c"}}|{{js "it\'s"}}',
            "1 2a3 4|&lt;a&gt;|a+b%2Fc|it\\'s",
        ),
        (
            '{{pad "a" 1 2}}|{{truncate "abcdef" 3}}|{{title "ab c"}}|{{split "a:b" ":"}}',
            " a  |abc|Ab C|[a b]",
        ),
        ("{{and 1 0}} {{or 0 2}} {{with $v := .Id}}{{$v}}{{end}} {{`raw`}}", "0 2 abc raw"),
    ],
)
def test_rendering(text, expected):
    assert Template(text).render(DATA) == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{{.Id", "unclosed action"),
        ("{{if .Id}}x", "unexpected EOF"),
        ("{{end}}", "unexpected"),
        ("{{nope .Id}}", 'function "nope" not defined'),
        ("{{.Id.Deeper}}", "can't evaluate field Deeper"),
        ("{{index .Mounts 9}}", "index out of range: 9"),
        ('{{"open}}', "unterminated quoted string"),
        ("{{upper 1}}", "at <1>: expected string; found 1"),
        ("{{join .Id}}", "wrong number of args for join: want 2 got 1"),
        ('{{eq 1 "a"}}', "incompatible types for comparison"),
        ("{{$x}}", 'undefined variable "$x"'),
        ("{{break}}", "{{break}} outside {{range}}"),
        ("{{.Id | 1}}", "non executable command in pipeline stage 2"),
        ('{{template "none"}}', 'template "none" not defined'),
        (
            '{{define "x"}}{{template "x"}}{{end}}{{template "x"}}',
            "exceeded maximum template depth",
        ),
        ("{{'ab'}}", "malformed character constant: 'ab'"),
        ('{{"\\xZZ"}}', "invalid syntax"),
        ('{{slice .Id "x"}}', "cannot index slice/array with type string"),
        ("{{printf 3}}", "at <3>: expected string; found 3"),
        ("{{3 | printf}}", "wrong type for value; expected string; got int"),
        ("{{.Label}}", "at <.Label>: wrong number of args for Label: want 1 got 0"),
        ("{{print .Label}}", "wrong number of args for Label: want 1 got 0"),
        ('{{.Label "a" "b"}}', "wrong number of args for Label: want 1 got 2"),
        ("{{.Label 3}}", "wrong type for value; expected string; got int"),
        ('{{template "none" .Id}}', ':1:11: executing "" at <{{template "none" .I...>'),
        ("a\n b {{.Id.X}}", 'template: :2:8: executing "" at <.Id.X>'),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_so(text, part):
    with pytest.raises((TemplateError, UnreadableTemplate)) as caught:
        Template(text).render(DATA)
    assert part in str(caught.value)


STATE = {"Status": "running", "Running": True, "Pid": 7, "Health": None}
CONTAINER = {
    "Id": "abc",
    "State": STATE,
    "Mounts": [{"Type": "bind", "Source": "/a", "Destination": "/b", "RW": True}],
    "HostConfig": {"Memory": 5, "NetworkMode": "bridge", "RestartPolicy": {"Name": "no"}},
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "53/udp": None},
        "Networks": {"bridge": {"IPAddress": "172.17.0.2"}},
    },
    "Config": {"Env": ["A=1"], "Labels": {"b": "2", "a": "1"}},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{.ID}}", "abc"),
        ("{{.State}}", "{running true false false false false 7 0    <nil>}"),
        ("{{.Mounts}}", "[{bind  /a /b   true }]"),
        ("{{.NetworkSettings.Ports}}", "map[53/udp:[] 80/tcp:[{0.0.0.0 8080}]]"),
        ("{{.HostConfig.RestartPolicy}}", "{no 0}"),
        ('{{printf "%T %T %T" .State .HostConfig.Memory .HostConfig.NetworkMode}}',
         "*container.State int64 container.NetworkMode"),
        ('{{printf "%+v" .HostConfig.RestartPolicy}}', "{Name:no MaximumRetryCount:0}"),
        ('{{index .Config.Labels "none"}}|{{join .Config.Env ","}}', "|A=1"),
        ('{{(index .NetworkSettings.Networks "bridge").IPAddress}}', "172.17.0.2"),
        ("{{json .Config.Labels}} {{json .State}}",
         '{"a":"1","b":"2"} {"Status":"running","Running":true,"Pid":7,"Health":null}'),
        ("{{if .State.Health}}x{{else}}none{{end}}", "none"),
    ],
)  # fmt: skip
def test_a_typed_value_prints_as_go_prints_its_struct(text, expected):
    assert Template(text).render(typed(CONTAINER, "container.InspectResponse")) == expected


def test_a_nil_pointer_and_an_unknown_field_are_named():
    value = typed(CONTAINER, "container.InspectResponse")
    with pytest.raises(TemplateError, match=r"nil pointer evaluating \*container.Health.Status"):
        Template("{{.State.Health.Status}}").render(value)
    with pytest.raises(TemplateError, match=r"field Nope in type container.InspectResponse"):
        Template("{{.Nope}}").render(value)
