"""Entry point of the program `aerokernel`."""

from aeroctl.kernel.cli import aerokernel


def main() -> None:
    """Run the command line; click turns usage errors into exit code 2."""
    aerokernel(prog_name="aerokernel")


if __name__ == "__main__":
    main()
