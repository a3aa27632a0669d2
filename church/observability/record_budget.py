"""How many records of one kind a process writes, so that a flood neither fills the disk nor hides an attack.

The budget is by event type and client address: the flood of one address uses up its own share of one type, and takes
no record from another address or type. The first record of an address in a window has a share that repetitions can't
use up. An IPv6 client is its /64, and all those of a /48, which one customer may have, get ``SITE_FACTOR`` shares.
What is left out is summed up in one record at the end of the window; metrics count everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from church.lib import threads
from church.lib.network.addresses import SITE_PREFIX, client_network, network_of

WINDOW = 60.0  # seconds
MAX_ADDRESSES = 1_000  # most addresses of left-out records that a window tells apart
SITE_FACTOR = 4
"""How many times the share of one address an IPv6 /48 has."""


class Share(NamedTuple):
    """Most records of one event type in a window of one process."""

    address: int
    """Of one client address."""
    first: int
    """Of addresses seen for the first time in the window; as many addresses are remembered."""
    repeated: int
    """Of all further records of these addresses together."""


ORDINARY = Share(address=30, first=300, repeated=300)
HIGH = Share(address=120, first=1_200, repeated=1_200)
"""For events of high severity."""


class Withheld(NamedTuple):
    """What a window left out."""

    event_type: str
    severity: str
    withheld: int
    addresses: int
    """Different client addresses, at most MAX_ADDRESSES."""


class _Window:
    """The records of one event type, from its first event to the end of the window."""

    __slots__ = ("_addresses", "_of_site", "_repeated", "_share", "_written", "count", "ends")

    def __init__(self, share: Share, ends: float) -> None:
        self.ends = ends
        self.count = 0
        self._share = share
        self._written: dict[str, int] = {}
        self._of_site: Counter[str] = Counter()
        self._repeated = 0
        self._addresses: set[str] = set()

    def admit(self, client: str, site: str) -> bool:
        """Take one record from the shares, or count it as left out."""
        written = self._written.get(client, 0)
        if self._has_share(written) and self._of_site[site] < SITE_FACTOR * self._share.address:
            self._written[client] = written + 1
            self._of_site[site] += 1
            self._repeated += written > 0
            return True
        self.count += 1
        if len(self._addresses) < MAX_ADDRESSES:
            self._addresses.add(client)
        return False

    def _has_share(self, written: int) -> bool:
        if written == 0:
            return len(self._written) < self._share.first
        return written < self._share.address and self._repeated < self._share.repeated

    @property
    def addresses(self) -> int:
        """How many addresses the left-out records came from, at most MAX_ADDRESSES."""
        return len(self._addresses)


class RecordBudget:
    """The windows of one process. Event types are a bounded set, so memory is bounded, too."""

    def __init__(
        self, ordinary: Share = ORDINARY, high: Share = HIGH, clock: Callable[[], float] = threads.clock
    ) -> None:
        self._ordinary = ordinary
        self._high = high
        self._clock = clock
        self._windows: dict[tuple[str, str], _Window] = {}
        self.ended: list[Withheld] = []
        """What windows that were followed by another have left out, until it is taken."""
        # the job worker's threads are real ones; a greenlet never switches while it holds this
        self._turn = threads.allocate_lock()

    def admit(self, event_type: str, severity: str, address: str) -> bool:
        """Whether to write a record of this event; if not, it is counted for the record at the window's end."""
        client = client_network(address)
        key = (event_type, severity)
        with self._turn:
            now = self._clock()
            window = self._windows.get(key)
            if window is not None and window.ends <= now:
                self._end(key)
                window = None
            if window is None:
                share = self._high if severity == "high" else self._ordinary
                window = self._windows[key] = _Window(share, now + WINDOW)
            return window.admit(client, network_of(address, SITE_PREFIX))

    def take_withheld(self, everything: bool = False) -> list[Withheld]:
        """Return what the windows that have ended left out, each once; with ``everything``, end all of them now."""
        with self._turn:
            now = self._clock()
            for key in [key for key, window in self._windows.items() if everything or window.ends <= now]:
                self._end(key)
            ended, self.ended = self.ended, []
            return ended

    def _end(self, key: tuple[str, str]) -> None:
        window = self._windows.pop(key)
        if window.count:
            self.ended.append(Withheld(*key, window.count, window.addresses))


BUDGET = RecordBudget()
"""The budget of this process."""
