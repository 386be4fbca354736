"""Reading and decoding the next batch while the database takes the one before: two cores, one of them Python's."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from projections.arrivals import Arrivals
from projections.projector import Projector
from repository.store.log import Checkpoint, Log, Partition, Record, body_hash


def read_ahead(
    projector: Projector, log: Log, limit: int, until: Mapping[Partition, int] | None = None, wait_s: float = 0
) -> Iterator[Arrivals]:
    """Prepared batches from the projector's checkpoints to the log's end, or up to the offsets `until`.

    Each is given while the next is read and decoded in another thread; the caller applies it before asking on. At the log's
    end it waits `wait_s` for more. Raises what the log raises.
    """
    reached = projector.checkpoints()
    projector.log_ids = log.identities()
    with ThreadPoolExecutor(1, thread_name_prefix="reading-ahead") as reader:
        coming: Future[Arrivals] = reader.submit(_next, projector, log, limit, reached, until, wait_s)
        while (batch := coming.result()).records:
            reached = reached | _after(batch.records)
            coming = reader.submit(_next, projector, log, limit, reached, until, wait_s)
            yield batch


def _next(
    projector: Projector,
    log: Log,
    limit: int,
    reached: Mapping[Partition, Checkpoint],
    until: Mapping[Partition, int] | None,
    wait_s: float,
) -> Arrivals:
    records = log.read(reached, limit, wait_s) if until is None else _bounded(log, reached, limit, until)
    return projector.prepare(records)


def _bounded(log: Log, reached: Mapping[Partition, Checkpoint], limit: int, until: Mapping[Partition, int]) -> list[Record]:
    """The next records below the bounds; none where every partition has come to its own.

    A partition at its bound is read from the log's end on: what lies beyond would fill the batch, and the partitions
    behind it in the log's order would never be read.
    """
    ends = log.ends()
    done = {p for p, now in reached.items() if now.next_offset >= until.get(p, 0)} | (ends.keys() - until.keys())
    # Who goes on writing beyond the bounds is not read after.
    while ends.keys() - done and (
        records := log.read({**reached, **{p: Checkpoint(ends[p], 0, 0) for p in done if p in ends}}, limit)
    ):
        below = [r for r in records if r.offset < until.get((r.topic, r.partition), 0)]
        if below:
            return below
        done |= {(r.topic, r.partition) for r in records}
        ends |= {(r.topic, r.partition): max(r.offset + 1, ends.get((r.topic, r.partition), 0)) for r in records}
    return []


def _after(records: Sequence[Record]) -> dict[Partition, Checkpoint]:
    last = {(record.topic, record.partition): record for record in records}
    return {p: Checkpoint(r.offset + 1, r.position, body_hash(r.value)) for p, r in last.items()}
