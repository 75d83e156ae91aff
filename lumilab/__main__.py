"""`lumi`, which is also `python -m lumilab`."""

import signal
import sys


def main() -> None:
    """Loads the command line and runs it. Ctrl-C while it loads ends with the same exit code as at any later time."""
    try:
        from lumilab.cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    run()


if __name__ == "__main__":
    main()
