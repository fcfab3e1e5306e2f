"""Go templates against what Go prints for them."""

import pytest

from cutaway.cli.flags import UnreadableTemplate
from cutaway.cli.template import Template, TemplateError

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
        ("{{.Id}} {{.ID}} {{.id}}", "abc abc abc"),
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
        ('{{"open}}', "unclosed action"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_so(text, part):
    with pytest.raises((TemplateError, UnreadableTemplate)) as caught:
        Template(text).render(DATA)
    assert part in str(caught.value)
