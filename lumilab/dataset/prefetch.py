"""Making the next items ahead of their use, in threads, without any effect on their order.

Item n is a function of n alone, and items are handed out in the order in which they were asked for, not that in which
they were finished. So the number of threads and how far they run ahead change the speed and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class Prefetcher(Generic[Item]):
    """Items by number, made ahead while they are asked for one after the other; use it as a context manager.

    Asking for another number than the next is no mistake: what was made ahead is given up, and it goes on from there.
    An error in making an item is raised where that item is asked for, not before; asking again tries again.

    Args:
        make: makes an item; called from several threads at once where there are several.
        workers: threads; 0 to make each item when it is asked for.
        ahead: items made ahead of the one in use.
    """

    def __init__(self, make: Callable[[int], Item], workers: int = 1, ahead: int = 2) -> None:
        self._make = make
        self._ahead = max(ahead, workers)
        self._pool = ThreadPoolExecutor(workers, "lumilab-prefetch") if workers else None
        self._coming: deque[Future[Item]] = deque()
        self._next = 0

    def get(self, number: int) -> Item:
        """Item `number`; the ones after it are begun."""
        if self._pool is None:
            return self._make(number)
        if number != self._next:
            self._give_up()
            self._next = number
        while len(self._coming) <= self._ahead:
            self._coming.append(self._pool.submit(self._make, self._next + len(self._coming)))
        item = self._coming.popleft()
        self._next += 1
        try:
            return item.result()
        except BaseException:
            self._give_up()
            raise

    def close(self) -> None:
        """Ends the threads: items in the making are finished and thrown away, the others are not begun."""
        self._give_up()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _give_up(self) -> None:
        for item in self._coming:
            item.cancel()
        self._coming.clear()
        self._next = -1  # no number: the next call begins anew
