"""The `yardstick` command. Exit codes: 0 fine, 1 something is wrong (and said so), 2 the command line is.

`shadow gate` answers with its own.
"""

from __future__ import annotations

import click

from gateway.cli.configuration import check, init
from gateway.cli.engine import engine
from gateway.cli.key_file import keys
from gateway.cli.serving import demo, observe, route, serve
from gateway.cli.shadow import shadow

_EXAMPLES = """\b
Try it, with simulated model servers:
  yardstick demo
In front of model servers that already run:
  yardstick serve --endpoint codegeex4-all-9b=http://10.0.0.5:8000 \\
                  --endpoint iquest-coder-v1-40b-loop-instruct=http://10.0.0.6:8000
From a file:
  yardstick init && yardstick check && yardstick serve --config yardstick.yaml
"""


@click.group(epilog=_EXAMPLES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="yardstick", prog_name="yardstick")
def main() -> None:
    """One OpenAI-compatible address in front of two code models: short prompts go to one, long ones to the other."""


for command in (serve, route, init, check, keys, engine, shadow, demo, observe):
    main.add_command(command)
