"""`python -m harness` is the `harness` command."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C before it is even imported is no traceback either."""
    try:
        from harness.cli import main as command  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
