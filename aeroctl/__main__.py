"""The program's entry: errors become exit codes here and nowhere else."""

import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from aeroctl.errors import Failure


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit. Never a traceback, unless --debug asks for it."""
    if arguments is None:
        # At once, wherever it comes: a KeyboardInterrupt can get lost in a callback.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        arguments = sys.argv[1:]
    arguments = list(arguments)
    code = 130
    gc.set_threshold(100_000)  # a start-up makes many objects and hardly any garbage
    with suppress(KeyboardInterrupt):  # also one that comes during an import
        code = _run(arguments)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    import click

    from aeroctl.cli import cli, spoken
    from aeroctl.errors import Exit, Failure, failure

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a C locale is no reason to fail
    try:
        result = cli.main(arguments, prog_name="aeroctl", standalone_mode=False)
        return result if isinstance(result, int) else Exit.DONE
    except click.Abort as error:
        interrupted = isinstance(error.__cause__ or error.__context__, KeyboardInterrupt)
        return Exit.INTERRUPTED if interrupted else Exit.REFUSED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.INPUT
    except click.ClickException as error:
        return _report(failure("USAGE", _hinted(error)), arguments)
    except Failure as error:
        return _report(error, arguments)
    except OSError as error:  # help and versions are written by click
        from aeroctl.output.output import give_up

        give_up()
        return _report(failure("OUTPUT_FAILED", f"{error.strerror}"), arguments)
    except Exception as error:
        if ("--debug", "") in spoken(arguments):
            raise
        if "_AEROCTL_COMPLETE" in os.environ:
            return Exit.BUG  # a shell's prompt is no place for words
        return _report(failure("BUG", f"{type(error).__name__}: {error}"), arguments)


def _hinted(error: "click.ClickException") -> str:
    context = getattr(error, "ctx", None)
    where = f" See {context.command_path} --help." if context else ""
    return f"{error.format_message()}{where}"


def _report(error: "Failure", arguments: list[str]) -> int:
    from aeroctl.output.output import report

    report(error, _asks_for_json(arguments))
    return error.exit


def _asks_for_json(arguments: list[str]) -> bool:
    """Whether errors are to be JSON; looked up in the words because parsing may have failed."""
    from aeroctl.cli import spoken

    return any(
        name == "--output" and value in ("json", "jsonl") for name, value in spoken(arguments)
    )


if __name__ == "__main__":
    main()
