"""Names to answers, without a socket."""

from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from cutaway.network.userland.answers import (
    Forward,
    Refuse,
    address_of_pointer,
    answer,
    datagram_size,
    error_answer,
    fit,
    matches_query,
)
from cutaway.network.userland.protocol import EndpointNames, SandboxNames
from cutaway.network.userland.records import Records


def endpoint(identifier, *names, network="n1", address="10.0.0.1", v6=""):
    return EndpointNames(
        id=identifier,
        network=network,
        network_name={"n1": "back", "n2": "front.office"}[network],
        names=names,
        address=address,
        address_v6=v6,
    )


SANDBOX = SandboxNames(id="s", networks=("n1", "n2"), links=(("n1", "store", "db"),))


def records(*endpoints):
    made = Records()
    for one in endpoints:
        made.add(one)
    return made


def query(name, kind="A"):
    return bytes(DNSRecord.question(name, kind).pack())


def test_find():
    known = records(
        endpoint("a", "db", "sql", v6="fd00::1"),
        endpoint("b", "web", network="n2", address="10.1.0.1"),
    )
    assert known.find(SANDBOX, "DB", 4).addresses == ["10.0.0.1"]
    assert known.find(SANDBOX, "sql", 6).addresses == ["fd00::1"]
    assert known.find(SANDBOX, "store", 4).addresses == ["10.0.0.1"]
    assert known.find(SANDBOX, "db.back", 4).addresses == ["10.0.0.1"]
    assert known.find(SANDBOX, "web.front.office", 4).addresses == ["10.1.0.1"]
    assert known.find(SANDBOX, "web", 6).addresses == []
    assert known.find(SANDBOX, "web.back", 4) is None
    assert known.find(SandboxNames(id="x", networks=("n2",)), "db", 4) is None


def test_removed_and_replaced_endpoints_are_forgotten():
    known = records(endpoint("a", "db"))
    known.add(endpoint("a", "database", address="10.0.0.2"))
    assert known.find(SANDBOX, "db", 4) is None
    assert known.find_address(SANDBOX, "10.0.0.1") is None
    assert known.find_address(SANDBOX, "10.0.0.2") == "database.back"
    known.remove("a")
    known.remove("a")
    assert known.find(SANDBOX, "database", 4) is None
    assert not known._by_name
    assert not known._by_address


def test_the_first_network_wins():
    known = records(endpoint("b", "db", network="n2", address="10.1.0.9"), endpoint("a", "db"))
    assert known.find(SANDBOX, "db", 4).addresses == ["10.0.0.1"]


def test_answers():
    known = records(endpoint("a", "db", v6="fd00::1"))
    reply = DNSRecord.parse(answer(query("db"), known, SANDBOX))
    assert [str(r.rdata) for r in reply.rr] == ["10.0.0.1"]
    assert (reply.header.qr, reply.header.ra, reply.rr[0].ttl) == (1, 1, 600)
    reply = DNSRecord.parse(answer(query("db", "AAAA"), known, SANDBOX))
    assert [str(r.rdata) for r in reply.rr] == ["fd00::1"]
    reply = DNSRecord.parse(answer(query("1.0.0.10.in-addr.arpa", "PTR"), known, SANDBOX))
    assert [str(r.rdata) for r in reply.rr] == ["db.back."]


def test_what_nobody_is_called_is_forwarded_or_not():
    known = records(endpoint("a", "db"))
    assert answer(query("example.org"), known, SANDBOX) == Forward()
    assert answer(query("9.9.9.9.in-addr.arpa", "PTR"), known, SANDBOX) == Forward()
    alone = SandboxNames(id="s", networks=("n1",), forwards=False)
    for question in (query("example.org"), query("9.9.9.9.in-addr.arpa", "PTR")):
        reply = DNSRecord.parse(answer(question, known, alone))
        assert reply.header.rcode == RCODE.SERVFAIL


def test_answers_and_rubbish_are_no_queries():
    known = records()
    assert answer(b"", known, SANDBOX) == Refuse()
    assert answer(b"\0" * 12, known, SANDBOX) == Refuse()
    assert answer(b"\0" * 5000, known, SANDBOX) == Refuse()
    reply = bytes(DNSRecord.question("db").reply().pack())
    assert answer(reply, known, SANDBOX) == Refuse()


@given(st.binary(max_size=600))
def test_no_packet_breaks_it(data):
    result = answer(data, records(endpoint("a", "db")), SANDBOX)
    if isinstance(result, bytes):
        assert result[:2] == data[:2]
        assert len(result) <= max(512, len(data) + 100)
    if len(data) > 12:
        datagram_size(data)
        matches_query(data, data)


@given(st.text(max_size=80))
def test_no_pointer_breaks_it(text):
    address_of_pointer(text + ".in-addr.arpa")
    address_of_pointer(text + ".ip6.arpa")


def test_pointers():
    assert address_of_pointer("2.0.17.172.in-addr.arpa") == "172.17.0.2"
    assert address_of_pointer("1." + "0." * 30 + "f.ip6.arpa") == "f000::1"
    assert address_of_pointer("example.org") == ""


def test_an_answer_that_is_too_large_says_so():
    record = DNSRecord.question("db").reply()
    for i in range(60):
        record.add_answer(RR("db", QTYPE.A, rdata=A(f"10.0.0.{i}")))
    whole = bytes(record.pack())
    cut = DNSRecord.parse(fit(whole, 512))
    assert cut.header.tc == 1
    assert not cut.rr
    assert fit(whole, 4096) == whole


def test_a_reply_to_another_question_is_not_ours():
    asked = query("bank.example")
    good = bytes(DNSRecord.parse(asked).reply().pack())
    forged = bytes(DNSRecord.question("evil.example").reply().pack())
    assert matches_query(asked, good)
    assert not matches_query(asked, forged)
    assert not matches_query(asked, asked)
    assert not matches_query(asked, b"")


def test_an_error_repeats_the_question():
    reply = DNSRecord.parse(error_answer(query("db"), RCODE.SERVFAIL))
    assert (str(reply.q.qname), reply.header.rcode) == ("db.", RCODE.SERVFAIL)
