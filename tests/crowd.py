"""A crowd of clients, some of whom hang up in the middle of their answer and some of whom send garbage.

`crowd(url, pid, ...)` first asks each question alone and then lets everybody ask at once; greedy answers must be the
same. It speaks HTTP by hand: hundreds of clients are cheap then, and garbage can be sent as it is. As a script:
`python tests/crowd.py URL PID [SECONDS] [CLIENTS]` prints its figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psutil

HANGS_UP, GARBAGE = 0.3, 0.1
WORDS = ("the", "cat", "a", "river", "my", "neighbour", "old", "clock", "garden", "train", "follows", "moon", "bridge")
QUESTIONS = 20
POST = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
GARBAGE_BODIES = (
    b'{"prompt": ', b"\xff\xfe\x00", b'{"prompt": {"a": []}}', b'{"max_tokens": -1}', b"[" * 3000, b'{"n": 1e9}',
)  # fmt: skip
GARBAGE_HEADS = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET /\r\n\r\n", b"\r\n" * 20, POST,
    POST + b"Content-Length: 99999999999\r\n\r\n{",
)  # fmt: skip


@dataclass
class Figures:
    """What became of everybody.

    Attributes:
        counts: answers that were complete, refused (429), given up by the client, and pieces of garbage.
        wrong: answers that were another than the one given alone.
        statuses: what garbage was answered with.
        megabytes: the server's resident memory: when all had asked once, halfway, and after the last had gone.
        running, waiting: of the server's requests after the last client had gone.
        descriptors: the server's open files and connections, before and after.
    """

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    megabytes: list[float] = field(default_factory=list)
    running: float = -1
    waiting: float = -1
    descriptors: list[int] = field(default_factory=list)


class Crowd:
    """The clients of one server.

    Args:
        url: the server's.
        pid: its process.
        clients: how many ask at the same time.
        seed: of what they do.
    """

    def __init__(self, url: str, pid: int, clients: int = 200, seed: int = 0) -> None:
        self._address = urlsplit(url)
        self._process = psutil.Process(pid)
        self._clients = clients
        draw = random.Random(seed)
        self._questions = [
            {
                "prompt": " ".join(draw.choices(WORDS, k=draw.randint(1, 30))),
                "max_tokens": draw.randint(4, 40),
                "temperature": 0,
            }
            for _ in range(QUESTIONS)
        ]
        self._draws = [random.Random(draw.random()) for _ in range(clients)]
        self._alone: list[str] = []
        self._until = 0.0
        self.figures = Figures()

    async def run(self, seconds: float) -> Figures:
        """Asks for so many seconds, then waits until all have their answers."""
        self._alone = [(await self._whole(question))[1] for question in self._questions]
        self._look()
        self._until = time.monotonic() + seconds
        halfway = asyncio.get_running_loop().call_later(seconds / 2, self._look)
        await asyncio.gather(*(self._client(draw) for draw in self._draws))
        halfway.cancel()
        await self._settle()
        self._look()
        return self.figures

    async def _client(self, draw: random.Random) -> None:
        while time.monotonic() < self._until:
            what = draw.random()
            number = draw.randrange(QUESTIONS)
            if what < GARBAGE:
                await self._garbage(draw)
            elif what < GARBAGE + HANGS_UP:
                await self._hang_up(number, draw)
            else:
                await self._ask(number, draw)

    async def _ask(self, number: int, draw: random.Random) -> None:
        """Waits for the answer, streamed or not, and compares it."""
        streamed = draw.random() < 0.5
        status, text = await (self._streamed if streamed else self._whole)(self._questions[number])
        if status == 429:
            self.figures.counts["refused"] += 1
            await asyncio.sleep(draw.uniform(0.1, 1.0))
        elif status == 200 and text == self._alone[number]:
            self.figures.counts["complete"] += 1
        else:
            self.figures.wrong.append(f"{status}: {text!r} instead of {self._alone[number]!r}")

    async def _hang_up(self, number: int, draw: random.Random) -> None:
        """Leaves after some of the answer, or before any of it."""
        question = self._questions[number] | {"max_tokens": 2000, "stream": draw.random() < 0.7}
        reader, writer = await self._send(question)
        for _ in range(draw.randrange(8)):
            try:
                await asyncio.wait_for(reader.readline(), 0.2)
            except TimeoutError:
                break
        writer.close()
        self.figures.counts["hung up"] += 1

    async def _garbage(self, draw: random.Random) -> None:
        if draw.random() < 0.5:
            reader, writer = await self._send(draw.choice(GARBAGE_BODIES))
        else:
            reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
            writer.write(draw.choice(GARBAGE_HEADS) + bytes(draw.randrange(256) for _ in range(draw.randrange(40))))
        try:
            line = await asyncio.wait_for(reader.readline(), 1.0)
        except (TimeoutError, OSError):
            line = b""
        writer.close()
        self.figures.counts["garbage"] += 1
        self.figures.statuses[line.decode("latin-1").partition(" ")[2][:3] or "none"] += 1

    async def _send(self, body: dict[str, Any] | bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        writer.write(
            POST + f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
        )
        return reader, writer

    async def _answer(self, question: dict[str, Any]) -> tuple[int, str]:
        reader, writer = await self._send(question)
        try:
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        text = body.decode()
        if b"transfer-encoding: chunked" in head.lower():
            text = _unchunked(body).decode()
        return int(head.split()[1]), text

    async def _whole(self, question: dict[str, Any]) -> tuple[int, str]:
        status, text = await self._answer(question)
        return status, json.loads(text)["choices"][0]["text"] if status == 200 else text

    async def _streamed(self, question: dict[str, Any]) -> tuple[int, str]:
        status, text = await self._answer(question | {"stream": True})
        if status != 200:
            return status, text
        lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]
        if lines[-1] != "[DONE]":
            return 500, lines[-1]
        return status, "".join(choice["text"] for line in lines[:-1] for choice in json.loads(line)["choices"])

    async def _settle(self) -> None:
        """Waits until nothing runs, for at most half a minute."""
        for _ in range(150):
            metrics = await self._metrics()
            self.figures.running, self.figures.waiting = (metrics[name] for name in ("running", "waiting"))
            if not (self.figures.running or self.figures.waiting):
                break
            await asyncio.sleep(0.2)

    async def _metrics(self) -> dict[str, float]:
        reader, writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        return {
            name: sum(
                float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"vllm:num_requests_{name}")
            )
            for name in ("running", "waiting")
        }

    def _look(self) -> None:
        self.figures.megabytes.append(round(self._process.memory_info().rss / 2**20, 1))
        self.figures.descriptors.append(len(self._process.net_connections()))


def _unchunked(body: bytes) -> bytes:
    """A body without the lengths of its chunks (RFC 9112, section 7.1)."""
    whole = b""
    while body:
        length, _, body = body.partition(b"\r\n")
        size = int(length, 16)
        whole, body = whole + body[:size], body[size + 2 :]
    return whole


def crowd(url: str, pid: int, seconds: float, clients: int = 200, seed: int = 0) -> Figures:
    """What becomes of a crowd that asks for so many seconds."""
    return asyncio.run(Crowd(url, pid, clients, seed).run(seconds))


if __name__ == "__main__":
    address, process, *numbers = sys.argv[1:]
    found = crowd(address, int(process), *map(float, numbers[:1] or [120]), clients=int((numbers[1:] or ["200"])[0]))
    sys.stdout.write(json.dumps(vars(found), indent=2) + "\n")
