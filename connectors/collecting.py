"""How often Python looks for circular garbage. A batch is hundreds of thousands of live tuples, and looking through them again
and again took a quarter of the time of reading a topic; none of them is ever part of a circle."""

import gc

ALLOCATIONS, GENERATION_1, GENERATION_2 = 50_000, 20, 50


def collect_rarely() -> None:
    """Look for garbage rarely, and never again through what is there already. For the whole process."""
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, GENERATION_1, GENERATION_2)
