"""Numbers of nftables: messages, attributes, expression keys.

Source: include/uapi/linux/netfilter/{nf_tables,nfnetlink,nf_nat}.h; libnftnl's udata.h.
"""

from enum import IntEnum, IntFlag

NFNL_SUBSYS_NFTABLES = 10
NFNL_MSG_BATCH_BEGIN = 0x10
NFNL_MSG_BATCH_END = 0x11
NFNL_BATCH_GENID = 1
NFNLGRP_NFTABLES = 7


class NFPROTO(IntEnum):
    """Families a table can have."""

    INET = 1
    IPV4 = 2
    ARP = 3
    NETDEV = 5
    BRIDGE = 7
    IPV6 = 10


class HOOK(IntEnum):
    """Where a base chain of the ip, ip6, inet and bridge families is called."""

    PREROUTING = 0
    INPUT = 1
    FORWARD = 2
    OUTPUT = 3
    POSTROUTING = 4
    INGRESS = 5


class NETDEV_HOOK(IntEnum):
    """Where a base chain of the netdev family is called."""

    INGRESS = 0
    EGRESS = 1


class NFT_MSG(IntEnum):
    """Message types."""

    NEWTABLE = 0
    GETTABLE = 1
    DELTABLE = 2
    NEWCHAIN = 3
    GETCHAIN = 4
    DELCHAIN = 5
    NEWRULE = 6
    GETRULE = 7
    DELRULE = 8
    NEWSET = 9
    GETSET = 10
    DELSET = 11
    NEWSETELEM = 12
    GETSETELEM = 13
    DELSETELEM = 14
    NEWGEN = 15
    GETGEN = 16
    NEWOBJ = 18
    DELOBJ = 20
    NEWFLOWTABLE = 22
    DELFLOWTABLE = 24
    DESTROYTABLE = 26
    DESTROYCHAIN = 27
    DESTROYRULE = 28
    DESTROYSET = 29
    DESTROYSETELEM = 30


class SET(IntFlag):
    """Flags of a set."""

    ANONYMOUS = 0x1
    CONSTANT = 0x2
    INTERVAL = 0x4
    MAP = 0x8
    TIMEOUT = 0x10
    EVAL = 0x20  # "dynamic": rules add elements
    OBJECT = 0x40
    CONCAT = 0x80
    EXPR = 0x100


class TABLE(IntEnum):
    """NFTA_TABLE_…."""

    NAME = 1
    FLAGS = 2
    USE = 3
    HANDLE = 4
    USERDATA = 6


class CHAIN(IntEnum):
    """NFTA_CHAIN_…."""

    TABLE = 1
    HANDLE = 2
    NAME = 3
    HOOK = 4
    POLICY = 5
    USE = 6
    TYPE = 7
    FLAGS = 10
    USERDATA = 12


class CHAIN_HOOK(IntEnum):
    """NFTA_HOOK_…."""

    HOOKNUM = 1
    PRIORITY = 2
    DEV = 3


class RULE(IntEnum):
    """NFTA_RULE_…."""

    TABLE = 1
    CHAIN = 2
    HANDLE = 3
    EXPRESSIONS = 4
    POSITION = 6
    USERDATA = 7


class SET_ATTR(IntEnum):
    """NFTA_SET_…."""

    TABLE = 1
    NAME = 2
    FLAGS = 3
    KEY_TYPE = 4
    KEY_LEN = 5
    DATA_TYPE = 6
    DATA_LEN = 7
    DESC = 9
    ID = 10
    TIMEOUT = 11
    USERDATA = 13
    HANDLE = 16


NFTA_SET_DESC_SIZE = 1
NFTA_SET_DESC_CONCAT = 2
NFTA_SET_FIELD_LEN = 1
NFTA_LIST_ELEM = 1
NFT_DATA_VERDICT = 0xFFFFFF00
NFTA_DATA_VALUE = 1
NFTA_DATA_VERDICT = 2
NFTA_VERDICT_CODE = 1
NFTA_VERDICT_CHAIN = 2
NFTA_EXPR_NAME = 1
NFTA_EXPR_DATA = 2
NFTA_GEN_ID = 1
NFTA_GEN_PROC_PID = 2
NFTA_GEN_PROC_NAME = 3


class ELEMENT_LIST(IntEnum):
    """NFTA_SET_ELEM_LIST_…."""

    TABLE = 1
    SET = 2
    ELEMENTS = 3


class ELEMENT(IntEnum):
    """NFTA_SET_ELEM_…."""

    KEY = 1
    DATA = 2
    FLAGS = 3
    TIMEOUT = 4
    EXPIRATION = 5
    USERDATA = 6
    KEY_END = 10


ELEMENT_INTERVAL_END = 1
ELEMENT_CATCHALL = 2


class META(IntEnum):
    """What the meta expression loads."""

    LEN = 0
    PROTOCOL = 1
    PRIORITY = 2
    MARK = 3
    IIF = 4
    OIF = 5
    IIFNAME = 6
    OIFNAME = 7
    IIFTYPE = 8
    SKUID = 10
    SKGID = 11
    NFPROTO = 15
    L4PROTO = 16
    BRI_IIFNAME = 17
    BRI_OIFNAME = 18
    PKTTYPE = 19
    IIFGROUP = 21
    OIFGROUP = 22


class PAYLOAD(IntEnum):
    """Where a payload offset counts from."""

    LINK = 0
    NETWORK = 1
    TRANSPORT = 2


class CMP(IntEnum):
    """Comparisons."""

    EQ = 0
    NEQ = 1
    LT = 2
    LTE = 3
    GT = 4
    GTE = 5


class CT(IntEnum):
    """What the ct expression loads."""

    STATE = 0
    DIRECTION = 1
    STATUS = 2
    MARK = 3
    PROTO_DST = 12
    DST_IP = 20


class CT_STATE(IntFlag):
    """Connection states, as bits."""

    INVALID = 1
    ESTABLISHED = 2
    RELATED = 4
    NEW = 8
    UNTRACKED = 64


class CT_STATUS(IntFlag):
    """Connection status bits."""

    EXPECTED = 1
    SEEN_REPLY = 2
    ASSURED = 4
    CONFIRMED = 8
    SNAT = 16
    DNAT = 32


class FIB_RESULT(IntEnum):
    """What the fib expression answers."""

    OIF = 1
    OIFNAME = 2
    ADDRTYPE = 3


class FIB_F(IntFlag):
    """What the fib expression looks up."""

    SADDR = 1
    DADDR = 2
    MARK = 4
    IIF = 8
    OIF = 16
    PRESENT = 32


class NAT(IntEnum):
    """Kinds of address translation."""

    SNAT = 0
    DNAT = 1


class NF_NAT_RANGE(IntFlag):
    """How a translation chooses."""

    RANDOM = 4
    PERSISTENT = 8
    RANDOM_FULLY = 16


class REJECT(IntEnum):
    """Kinds of refusal; ICMPX works in the inet and bridge families for both protocols."""

    ICMP_UNREACH = 0
    TCP_RST = 1
    ICMPX_UNREACH = 2


class ICMPX(IntEnum):
    """Codes of REJECT.ICMPX_UNREACH."""

    NO_ROUTE = 0
    PORT_UNREACH = 1
    HOST_UNREACH = 2
    ADMIN_PROHIBITED = 3


class DYNSET(IntEnum):
    """What a rule does with a set."""

    ADD = 0
    UPDATE = 1
    DELETE = 2


class UDATA(IntEnum):
    """Types in the user data that the nft program reads and the kernel only keeps."""

    TABLE_COMMENT = 0
    CHAIN_COMMENT = 0
    RULE_COMMENT = 0
    ELEMENT_COMMENT = 0
    SET_KEY_BYTEORDER = 0
    SET_DATA_BYTEORDER = 1
    SET_KEY_TYPEOF = 3
    SET_COMMENT = 7


class TYPEOF(IntEnum):
    """Kinds of expression in SET_KEY_TYPEOF, as nft numbers them."""

    PAYLOAD = 7
    META = 9
    CONCATENATION = 13


BYTEORDER_HOST = 1
BYTEORDER_BIG = 2
