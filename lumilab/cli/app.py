"""The command line's front door. Rooms are imported by the subcommand that needs them, so `--help` is instant."""

from __future__ import annotations

import os
import sys

import typer
from typer.main import get_command

import lumilab
from lumilab.cli import (
    chat,
    compare,
    config,
    corpus,
    corpus_build,
    corpus_download,
    doctor,
    eval,
    export,
    generate,
    grpo,
    importing,
    inspect,
    menu,
    monitor,
    pack,
    plan,
    preference,
    quickstart,
    report,
    run,
    serve,
    sft,
    tokenizer,
    verify,
)
from lumilab.errors import ConfigError
from lumilab.work.failures import DEBUG_VARIABLE, failures_explained
from lumilab.work.terminal import show_what_can_be_shown

EPILOG = (
    "Exit codes: 0 done, 2 usage or recipe, 3 bad input, 4 mismatch or damage, 5 resources, 6 worse than before, "
    "75 time limit, 130/143 stopped."
)

ELSEWHERE = {
    "train": "run RECIPE --until pretrain",
    "pretrain": "run RECIPE --until pretrain",
    "download": "corpus download",
    "tokenize": "run RECIPE --until dataset",
    "finetune": "sft",
    "dpo": "preference",
    "evaluate": "eval",
    "server": "serve",
    "convert": "export",
}
"""What other tools call our commands."""

app = typer.Typer(
    name="lumi",
    help="From raw text to a language model you can talk to.",
    epilog=EPILOG,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("quickstart")(quickstart.quickstart)
app.command("run")(run.run)
app.command("plan")(plan.plan)
corpus.app.command("build")(corpus_build.build)
corpus.app.command("download")(corpus_download.download)
app.add_typer(corpus.app, name="corpus")
app.add_typer(tokenizer.app, name="tokenizer")
app.add_typer(config.app, name="config")
app.command("pack")(pack.pack)
app.command("sft")(sft.sft)
app.command("preference")(preference.preference)
app.command("grpo")(grpo.grpo)
app.command("inspect")(inspect.inspect)
app.command("verify")(verify.verify)
app.command("monitor")(monitor.monitor)
app.command("report")(report.report)
app.command("generate")(generate.generate)
app.command("chat")(chat.chat)
app.command("compare")(compare.compare)
app.command("eval")(eval.evaluate)
app.command("serve")(serve.serve)
app.add_typer(export.app, name="export")
app.add_typer(importing.app, name="import")
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def front(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks of errors."),
) -> None:
    """Without a command, a menu of the stages opens."""
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"  # the environment, because stages run in subprocesses
    if version:
        print(lumilab.__version__)  # noqa: T201
        raise typer.Exit
    if context.invoked_subcommand is None:
        menu.menu()


def main() -> None:
    """Runs `lumi` with this process's arguments and ends the process with its exit code."""
    show_what_can_be_shown()
    arguments = sys.argv[1:]
    if "--debug" in arguments:  # wherever it stands: people add it at the end of the line that failed
        arguments = ["--debug", *(word for word in arguments if word != "--debug")]
    with failures_explained():
        try:
            code = get_command(app).main(args=arguments, prog_name="lumi", standalone_mode=False)
        except typer.Abort:
            raise KeyboardInterrupt from None
        except typer.TyperException as error:
            context = getattr(error, "ctx", None)  # a usage error knows which command was meant
            meant = ELSEWHERE.get(next((word for word in arguments if not word.startswith("-")), ""))
            hint = f"see `{context.command_path} --help`." if context else None
            if meant and "No such command" in error.format_message():
                hint = f"that is `lumi {meant}` here."
            raise ConfigError(error.format_message(), where="command line", mend=hint) from None
    sys.exit(code if isinstance(code, int) else 0)
