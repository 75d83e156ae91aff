"""`lumi serve`: trained models behind HTTP, and a page to talk to them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

EXPORTS = Path("runs") / "exports"
KEYS_VARIABLE = "LUMI_API_KEYS"
OPEN_WARNING = "Everyone who can reach this machine can use this server: it has no API keys. Give --api-key-file."


def serve(
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(help="Runs or checkpoints; the run worked on last otherwise.", metavar="[[NAME=]PATH]..."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is heard here alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.")] = 8000,
    api_key_file: Annotated[
        Path | None, typer.Option(help=f"File with one API key a line; {KEYS_VARIABLE} holds some, too.")
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where the models run.")] = "auto",
    quantize: Annotated[
        Literal["none", "bf16", "int8", "int4"],
        typer.Option(help="How weights are kept in memory; int8 and int4 are faster and cost some quality."),
    ] = "none",
    slots: Annotated[int, typer.Option(help="Requests that generate at the same time, for each model.")] = 8,
    queue: Annotated[int, typer.Option(help="Requests that may wait; those beyond are told to come again.")] = 64,
    max_body: Annotated[float, typer.Option(help="Largest body of a request, in MiB.")] = 8.0,
    max_choices: Annotated[int, typer.Option(help="Most texts that one request may ask for.")] = 32,
    request_timeout: Annotated[float, typer.Option(help="Seconds after which an answer is given up.")] = 600.0,
    health_timeout: Annotated[float, typer.Option(help="Seconds in which a healthy engine makes a token.")] = 10.0,
    drain_timeout: Annotated[float, typer.Option(help="Seconds that answers get to end when it is stopped.")] = 30.0,
    cors_origin: Annotated[
        list[str] | None, typer.Option(help="Web site whose pages may use the server; may be repeated.")
    ] = None,
    log_prompts: Annotated[
        bool, typer.Option("--log-prompts", help="Write what is asked into the access log.")
    ] = False,
    engine: Annotated[
        Literal["lumilab", "vllm"], typer.Option(help="Our own engine, or vLLM with the exported model.")
    ] = "lumilab",
) -> None:
    """Serve models to OpenAI's clients and to a chat page, until Ctrl-C."""
    from lumilab.pipeline.records import find_checkpoint
    from lumilab.recipe.load import checked_section
    from lumilab.recipe.serving import ServingConfig
    from lumilab.serving.app import Server
    from lumilab.serving.loading import load_served, name_of, read_keys, split_name
    from lumilab.serving.run import address_of, listen, log_to_standard_error
    from lumilab.serving.run import serve as run_server

    config = checked_section(
        ServingConfig,
        host=host,
        port=port,
        device=device,
        quantize=quantize,
        slots=slots,
        queue=queue,
        max_body=max_body,
        max_choices=max_choices,
        request_timeout=request_timeout,
        health_timeout=health_timeout,
        drain_timeout=drain_timeout,
        cors_origins=tuple(cors_origin or ()),
        log_prompts=log_prompts,
    )
    wanted = [split_name(word) for word in checkpoints] if checkpoints else [(None, None)]
    found = [(name, find_checkpoint(path)) for name, path in wanted]
    named = [(name or name_of(checkpoint.path), checkpoint) for name, checkpoint in found]
    keys = read_keys(api_key_file, os.environ.get(KEYS_VARIABLE))
    if engine == "vllm":
        from lumilab.interop.vllm import become_vllm, only_one

        become_vllm(*only_one(named), config, keys, EXPORTS)
    bound = listen(config)
    models = load_served([(name, checkpoint.path) for name, checkpoint in named], config)
    console = Console(stderr=True, highlight=False)
    if not (keys or config.loopback):
        console.print(Text(OPEN_WARNING, style="yellow"))
    names = ", ".join(model.name for model in models)
    log_to_standard_error()
    run_server(
        Server(models, config),
        bound,
        keys,
        ready=lambda: console.print(Text(f"Serving {names} at {address_of(bound)} (Ctrl-C stops it).")),
    )
