"""`python -m harness` is the `harness` command."""

import os
import sys

from harness.process import open_streams, report_defect


def main() -> None:
    """Run the command line; Ctrl-C before it is even imported is no traceback either."""
    open_streams()
    # To look for its plug-ins, pydantic reads the metadata of every installed distribution.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        from harness.cli import main as command  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - an import that fails must not look like a verdict
        sys.exit(report_defect(error))
    command()


if __name__ == "__main__":
    main()
