"""Firewalls of others, as their programs set them up: what containers must live beside."""

# firewalld 1.3 on Debian 12, zone public with ssh: `nft list table inet firewalld`, shortened to
# the chains that decide.
FIREWALLD = """
table inet firewalld {
  chain filter_PREROUTING {
    type filter hook prerouting priority filter + 10; policy accept;
    icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
    meta nfproto ipv6 fib saddr . mark . iif oif missing drop
  }
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_INPUT_POLICIES
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    ip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002::/24 } reject with icmpv6 addr-unreachable
    jump filter_FORWARD_POLICIES
    reject with icmpx admin-prohibited
  }
  chain filter_INPUT_POLICIES {
    iifname "lan0" jump filter_IN_public
    jump filter_IN_public
  }
  chain filter_IN_public {
    tcp dport 22 accept
    meta l4proto { icmp, ipv6-icmp } accept
    reject with icmpx admin-prohibited
  }
  chain filter_FORWARD_POLICIES {
    iifname "lan0" oifname "lan0" jump filter_FWD_public
    iifname "lan0" jump filter_FWD_public
  }
  chain filter_FWD_public {
    oifname "lan0" accept
    reject with icmpx admin-prohibited
  }
}
"""

# The advice of firewalld's own manual for container bridges.
FIREWALLD_TRUSTS_BRIDGES = """
insert rule inet firewalld filter_FORWARD_POLICIES iifname "cutaway0" accept
insert rule inet firewalld filter_FORWARD_POLICIES oifname "cutaway0" accept
"""

# ufw 0.36 with `ufw enable; ufw allow 22/tcp` on Debian 12: iptables-restore of what it writes,
# shortened to the chains that decide. Debian's iptables is iptables-nft.
UFW = """
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-before-forward - [0:0]
:ufw-user-input - [0:0]
:ufw-user-forward - [0:0]
:ufw-after-input - [0:0]
:ufw-reject-forward - [0:0]
-A INPUT -j ufw-before-input
-A INPUT -j ufw-user-input
-A INPUT -j ufw-after-input
-A FORWARD -j ufw-before-forward
-A FORWARD -j ufw-user-forward
-A FORWARD -j ufw-reject-forward
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT
-A ufw-before-input -p udp --sport 67 --dport 68 -j ACCEPT
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-forward -p icmp --icmp-type echo-request -j ACCEPT
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-after-input -p udp --dport 137 -j DROP
COMMIT
"""

# An administrator's own table: nothing passes.
DROPS_ALL = """
table inet mine {
  set friends { type ipv4_addr; flags interval; elements = { 10.99.0.64/26 } }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state vmap { established : accept, related : accept }
    ip saddr @friends accept
  }
}
"""
