"""The program's entry: errors become exit codes here and nowhere else."""

import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from aeroctl.app import Streams
    from aeroctl.errors import Failure


def main(arguments: Sequence[str] | None = None, streams: "Streams | None" = None) -> None:
    """Run one command and exit; on other streams than the process's own where they are given.

    Never a traceback, unless --debug asks for it.
    """
    if arguments is None:
        # Exit from the handler itself: a KeyboardInterrupt can get lost in a callback.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        arguments = sys.argv[1:]
    arguments = list(arguments)
    code = 130
    gc.set_threshold(100_000)  # a start-up makes many objects and hardly any garbage
    with suppress(KeyboardInterrupt):  # also one that comes during an import
        code = _run(arguments, streams)
    sys.exit(code)


def _run(arguments: list[str], given: "Streams | None") -> int:
    import click

    from aeroctl.app import streams_of_process
    from aeroctl.cli import cli, options_in
    from aeroctl.errors import Exit, Failure, failure
    from aeroctl.options import Options

    streams = given or streams_of_process()
    for stream in (streams.stdout, streams.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what a C locale can't encode
    try:
        # click writes help and versions to sys.stdout itself.
        with redirect_stdout(streams.stdout), redirect_stderr(streams.stderr):
            options = Options(streams)
            result = cli.main(arguments, prog_name="aeroctl", standalone_mode=False, obj=options)
        return result if isinstance(result, int) else Exit.DONE
    except click.Abort as error:
        interrupted = isinstance(error.__cause__ or error.__context__, KeyboardInterrupt)
        return Exit.INTERRUPTED if interrupted else Exit.REFUSED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show(streams.stderr)
        return Exit.INPUT
    except click.ClickException as error:
        return _report(failure("USAGE", _hinted(error)), arguments, streams)
    except Failure as error:
        return _report(error, arguments, streams)
    except OSError as error:  # help and versions are written by click
        from aeroctl.output.output import give_up

        give_up(streams.stdout)
        return _report(failure("OUTPUT_FAILED", f"{error.strerror}"), arguments, streams)
    except Exception as error:
        if ("--debug", "") in options_in(arguments):
            raise
        if "_AEROCTL_COMPLETE" in os.environ:
            return Exit.BUG  # the words would end up in the shell's prompt
        return _report(failure("BUG", f"{type(error).__name__}: {error}"), arguments, streams)


def _hinted(error: "click.ClickException") -> str:
    context = getattr(error, "ctx", None)
    where = f" See {context.command_path} --help." if context else ""
    return f"{error.format_message()}{where}"


def _report(error: "Failure", arguments: list[str], streams: "Streams") -> int:
    from aeroctl.output.dialogue import report

    report(streams.stderr, error, _asks_for_json(arguments))
    return error.exit


def _asks_for_json(arguments: list[str]) -> bool:
    """Whether errors are to be JSON; by the bare words, because parsing them may have failed."""
    from aeroctl.cli import options_in

    return any(
        name == "--output" and value in ("json", "jsonl") for name, value in options_in(arguments)
    )


if __name__ == "__main__":
    main()
