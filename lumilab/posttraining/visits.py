"""Which example each sample of a run is: every epoch visits each once, in an order of its own."""

from __future__ import annotations

import numpy as np

from lumilab.dataset.order import order_key, permute


def visited(samples: range, count: int, *name: int | str) -> list[int]:
    """The example at each of these samples.

    Args:
        samples: numbers of samples from the run's first on; each epoch has `count` of them.
        count: how many examples there are.
        name: of the order, for example the seed and the stage; the epoch is added.
    """
    epochs, places = np.divmod(np.arange(samples.start, samples.stop, dtype=np.int64), count)
    return [
        permute(place, count, order_key(*name, epoch))
        for epoch, place in zip(epochs.tolist(), places.tolist(), strict=True)
    ]


def spread(most: int, count: int) -> list[int]:
    """At most so many of `count` examples, evenly spread."""
    taken = min(most, count)
    return [place * count // taken for place in range(taken)]
