"""`aerokernel token`: make a token for a caller."""

from pathlib import Path

import click

from aeroctl.kernel import callers


@click.command()
@click.argument("identity")
@click.argument("authority", type=click.Choice(callers.AUTHORITIES))
@click.option("--write", "path", type=click.Path(path_type=Path), required=True, metavar="PATH")
def token(identity: str, authority: callers.Authority, path: Path) -> None:
    """Make a token: write it to PATH, and print the line for the server's token file."""
    secret = callers.new()
    try:
        line = callers.line_of(identity, authority, secret)
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(f"{secret}\n", encoding="ascii")
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from error
    click.echo(line)
