"""A server in a thread of the test's own process: quicker to start than `lumi serve`, and with settings of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import uvicorn

from lumilab.inference.engine import Engine
from lumilab.inference.service import GenerationService
from lumilab.recipe.serving import ServingConfig
from lumilab.serving.app import Server, create_app
from lumilab.serving.models import ServedModel
from lumilab.serving.run import address_of, listen


@contextmanager
def served_in_thread(
    engine: Engine, config: ServingConfig, keys: Sequence[str] = ()
) -> Iterator[tuple[str, GenerationService]]:
    """The address of a server with one model, named "only", and the service behind it."""
    service = GenerationService(engine, config.slots, config.queue)
    server = Server([ServedModel("only", service, {})], config)
    bound = listen(config)
    running = uvicorn.Server(uvicorn.Config(create_app(server, keys), log_config=None, access_log=False))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield address_of(bound), service
    finally:
        running.should_exit = True
        thread.join(30)
        server.close()
