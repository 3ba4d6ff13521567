"""Sessions: what the routes call. Text goes in at an offset, is absorbed later, and is asked about.

The parts, low to high: `values` (what goes in and out), `fold` (one step of reading), `snapshots` (saving and
recovering a fold), `reading` (how far one session is), `absorber` (a task for each session with unread text),
`intake` (what is asked of an append), `asking` (from a question to its answer), `service` (the front).
"""

from armt_server.sessions.service import Sessions
from armt_server.sessions.values import Answer, Appended, Delta, Done, SessionStatus, Usage

__all__ = ["Answer", "Appended", "Delta", "Done", "SessionStatus", "Sessions", "Usage"]
