"""Trying again, politely: after a cut or an overloaded server with growing pauses, after a 429 when it says so.

A pause that one worker is told of holds for all of them, because the hub counts requests per person and not per
connection. What no patience can mend becomes an error that says how to.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lumilab.corpus.hub.connection import Connector, Cut, Limits, Refused
from lumilab.errors import InputError, LumiError, ResourceError
from lumilab.work.progress import format_seconds
from lumilab.work.stopping import StopRequest

OVERLOADED = (408, 425, 429, 500, 502, 503, 504)
FIRST_TRIES = 3  # to reach the hub at all: nobody should wait minutes to hear of a wrong address
PROGRESS_BYTES = 1 << 20  # a connection that brought this much was worth having: counting starts anew


@dataclass(frozen=True)
class Patience:
    """How often and how long.

    Attributes:
        tries: in a row without progress.
        first_pause: seconds before the second try; each further pause is twice as long.
        longest_pause: where the doubling ends.
        longest_asked: the longest Retry-After that is waited for.
        limits: of one request.
    """

    tries: int = 8
    first_pause: float = 1.0
    longest_pause: float = 60.0
    longest_asked: float = 900.0
    limits: Limits = field(default_factory=Limits)


class Manners:
    """What all requests of one piece of work share: patience, the stop request and the common pause.

    Args:
        patience: how often and how long.
        stop: looked at while waiting.
        say: told, in one line, whenever something makes us wait.
    """

    def __init__(
        self,
        patience: Patience | None = None,
        stop: StopRequest | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.patience = patience or Patience()
        self.stop = stop or StopRequest()
        self.connector = Connector(self.patience.limits)
        self._say = say or (lambda line: None)
        self._lock = threading.Lock()
        self._not_before = 0.0
        self.reached = False  # whether the hub has ever answered

    def wait_for_turn(self) -> None:
        """Returns once no pause is in force.

        Raises:
            Interrupted: a stop was asked for meanwhile.
        """
        self.stop.check()
        while (left := self._not_before - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
            self.stop.check()

    def pause_all(self, seconds: float, reason: str) -> None:
        """Nobody asks anything for so long; said once, however many workers were told."""
        with self._lock:
            news = time.monotonic() + seconds > self._not_before + 1
            self._not_before = max(self._not_before, time.monotonic() + seconds)
        if news:
            self.say(f"{reason}; waiting {format_seconds(seconds)}.")

    def say(self, line: str) -> None:
        self._say(line)

    def sleep(self, seconds: float) -> None:
        """Waits alone; honours the stop request."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.stop.check()
            time.sleep(min(left, 0.1))


class Attempts:
    """The tries of one request or transfer.

    Args:
        manners: shared with the others.
        about: what is being fetched, for notices.
        url: where from, for errors.
        explain: turns a refusal that is final into an error for a person.
    """

    def __init__(self, manners: Manners, about: str, url: str, explain: Callable[[Refused], LumiError]) -> None:
        self._manners = manners
        self._about = about
        self._url = url
        self._explain = explain
        self._failed = 0
        self._progress = 0

    def progressed(self, count: int) -> None:
        """Counts bytes received."""
        self._progress += count

    def failed(self, error: Cut | Refused) -> None:
        """Waits as long as is right before the next try.

        Raises:
            LumiError: there should be none.
            Interrupted: a stop was asked for.
        """
        if isinstance(error, Refused) and not is_passing(error):
            raise self._explain(error) from None
        if self._progress >= PROGRESS_BYTES:
            self._failed = 0
        self._progress = 0
        self._failed += 1
        patience = self._manners.patience
        tries = patience.tries if self._manners.reached else min(patience.tries, FIRST_TRIES)
        asked = asked_pause(error) if isinstance(error, Refused) else None
        if self._failed >= tries or (asked is not None and asked > patience.longest_asked):
            raise self._given_up(error, asked)
        if asked is not None:
            self._manners.pause_all(asked, f"The hub asks for a pause (status {getattr(error, 'status', '')})")
            return
        pause = min(patience.longest_pause, patience.first_pause * 2 ** (self._failed - 1))
        self._manners.say(f"{self._about}: {error}; trying again in {format_seconds(pause)}.")
        self._manners.sleep(pause)

    def _given_up(self, error: Cut | Refused, asked: float | None) -> LumiError:
        if asked is not None and asked > self._manners.patience.longest_asked:
            return ResourceError(
                f"The hub asks to wait {format_seconds(asked)} before the next request",
                where=self._url,
                mend="run the same command again then, with fewer --workers or with HF_TOKEN set, which allows more "
                "requests; what is downloaded stays.",
            )
        status = error.status if isinstance(error, Refused) else None
        what = f"answers with status {status}" if status else f"cannot be reached or kept up ({error})"
        return ResourceError(
            f"The hub {what}; gave up after {self._failed} tries",
            where=self._url,
            mend="check the network and HF_ENDPOINT, then run the same command again: it goes on where this one ended.",
        )


def is_passing(error: Refused) -> bool:
    """Whether the same request may succeed later: an overloaded server, or a signed address that has expired."""
    return error.status in OVERLOADED or (error.redirected and error.status in (401, 403, 410))


def asked_pause(error: Refused) -> float | None:
    """Seconds the server asks us to wait; None where it does not say.

    `Retry-After` holds seconds or a date (RFC 9110, section 10.2.3); the hub's own `RateLimit` header says
    `"api";r=0;t=55` for 55 seconds until its window begins anew.
    """
    text = (error.headers.get("Retry-After") or "").strip()
    if text.isdecimal():
        return float(text)
    if text:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0.0, ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)).total_seconds())
    window = re.search(r"\br=0\b.*?\bt=(\d+)", error.headers.get("RateLimit") or "")
    return float(window[1]) + 1 if window and error.status == 429 else None


def explain_refusal(error: Refused, dataset: str) -> LumiError:
    """A final refusal, in words, where nothing more is known than the dataset it was about."""
    code = error.headers.get("X-Error-Code", "")
    if error.status in (401, 403):
        gated = code == "GatedRepo"
        return InputError(
            f"The hub does not let us read {dataset}: it is {'gated' if gated else 'private, or it does not exist'}",
            where=error.url,
            mend=(f"accept its conditions on {error.url.partition('/api/')[0].partition('/datasets/')[0]}"
                  f"/datasets/{dataset} and " if gated else "check the name and ")
            + "set HF_TOKEN to a token that may read it (made under Settings, Access Tokens on the hub).",
        )  # fmt: skip
    if error.status in (404, 410):
        return InputError(f"{dataset} is not on the hub", where=error.url, mend="check the name, OWNER/NAME.")
    return InputError(
        f"The hub refused a request about {dataset} with status {error.status}", where=error.url,
        mend="check HF_ENDPOINT and the dataset's page on the hub.",
    )  # fmt: skip
