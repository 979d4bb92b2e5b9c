"""The `yardstick` command's entry. Ctrl-C while the rest is being imported ends it without a traceback."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)

from gateway.cli import main as command  # noqa: E402


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command(prog_name="yardstick")


if __name__ == "__main__":
    main()
