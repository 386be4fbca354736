"""The pulse of a follower: whether it moves, how far behind it is, and what is in the way; told once, shown in `status`."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from repository.store.log import Partition

Tell = Callable[[str], None]
MEASURE_EVERY_S = 1.0


@dataclass
class Pulse:
    """What a follower knows of itself. `tell` is given a sentence when something changes for a person."""

    tell: Tell
    stalled_after_s: int
    events: int = 0
    trouble: str = ""
    moved_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    lags: dict[Partition, int] = field(default_factory=dict)
    _measured_at: float = float("-inf")
    _seen: dict[Partition, tuple[int, float]] = field(default_factory=dict)
    """Per partition: the next offset, and since when (monotonic) it is that one with records before it."""

    def moved(self, events: int) -> None:
        """Events were applied, or there were none to apply."""
        self.events += events
        if events:
            self.moved_at = datetime.now(UTC)

    def due(self) -> bool:
        """Whether it is time to measure again."""
        return time.monotonic() > self._measured_at + MEASURE_EVERY_S

    def measured(self, ends: Mapping[Partition, int], reached: Mapping[Partition, int]) -> None:
        """The log's ends and the next offsets of the base; says so where one stands still with records before it."""
        now = self._measured_at = time.monotonic()
        self.lags = {partition: max(0, end - reached[partition]) for partition, end in ends.items()}
        for partition, lag in self.lags.items():
            place, since = self._seen.get(partition, (-1, now))
            if lag == 0 or place != reached[partition]:
                self._seen[partition] = (reached[partition], now)
            elif now > since + self.stalled_after_s:
                self.hindered(
                    f"{partition[0]} partition {partition[1]} stands still at offset {place} with {lag} records before it; "
                    "look at `yrd status`."
                )
                return
        self.recovered()

    def hindered(self, sentence: str) -> None:
        """Something is in the way; told when it is not known yet."""
        if not self.trouble:
            self.tell(sentence)
        self.trouble = sentence

    def recovered(self) -> None:
        """Nothing is in the way any more."""
        if self.trouble:
            self.tell("Following goes on.")
        self.trouble = ""
