"""How much of everything one client may use. Source: the project's rules, section 3.

A limit that is passed is answered with a status and a sentence, never with a silent close, as long
as the client still reads.
"""

REQUEST_LINE_BYTES = 16 * 1024
HEAD_BYTES = 64 * 1024
HEAD_FIELDS = 100
JSON_BODY_BYTES = 4 * 1024 * 1024
JSON_DEPTH = 64
HEAD_TIMEOUT_S = 10.0
JSON_BODY_TIMEOUT_S = 30.0
IDLE_TIMEOUT_S = 120.0
HANDSHAKE_TIMEOUT_S = 10.0
CONNECTIONS = 1000
DRAIN_BYTES = 256 * 1024
"""How much of a body that nobody wanted is read to keep the connection; Go's figure."""
LINGER_S = 2.0
LINGER_BYTES = 64 * 1024 * 1024
"""How long and how much a client may go on sending behind an answer that refused its body."""
RECEIVE_BYTES = 64 * 1024
