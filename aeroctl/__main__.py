"""The program's entry: errors become exit codes here and nowhere else."""

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from aeroctl.errors import Failure


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit. Never a traceback, unless --debug asks for it."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    code = 130
    gc.set_threshold(100_000)  # a start-up makes many objects and hardly any garbage
    with suppress(KeyboardInterrupt):  # also one that comes during an import
        code = _run(arguments)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    import click

    from aeroctl.cli import cli
    from aeroctl.errors import Exit, Failure, ReaderGone, failure

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
    except ReaderGone:
        # What is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except Exception as error:
        if "--debug" in arguments:
            raise
        words = f"{type(error).__name__}: {error}"
        bug = Failure("BUG", words, "control_plane_validation", outcome="unknown")
        _report(bug, arguments)
        return Exit.BUG


def _hinted(error: "click.ClickException") -> str:
    context = getattr(error, "ctx", None)
    where = f" See {context.command_path} --help." if context else ""
    return f"{error.format_message()}{where}"


def _report(error: "Failure", arguments: list[str]) -> int:
    from aeroctl.output import report

    report(error, _asks_for_json(arguments))
    return error.exit


def _asks_for_json(arguments: list[str]) -> bool:
    """Whether errors are to be JSON; looked up in argv because parsing may be what failed."""
    formats = ("json", "jsonl")
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return any(
        (word in ("-o", "--output") and value in formats)
        or word in tuple(f"{option}{name}" for option in ("-o", "--output=") for name in formats)
        for word, value in pairs
    )


if __name__ == "__main__":
    main()
