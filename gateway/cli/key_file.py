"""`yardstick keys`: make clients' keys, and the hashed lines that let them in."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from gateway.keys import KeyFileError, is_name, key_line, new_key, read_key_file

KEY_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def keys() -> None:
    """Clients' API keys. The gateway keeps their hashes only, in the file that --api-key-file names."""


@keys.command(epilog="\b\nExample:\n  yardstick keys new alice --file keys && yardstick serve --api-key-file keys ...")
@click.argument("name")
@click.option("--file", "path", type=KEY_FILE, help="Append the hashed line to this file (made with mode 0600).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: name, key, line.")
def new(name: str, path: Path | None, as_json: bool) -> None:
    """Make a random key for NAME and print it, this once only, with its line for the key file."""
    _require_name(name)
    key = new_key()
    line = key_line(name, key)
    if path is not None:
        _append(path, name, line)
    if as_json:
        click.echo(json.dumps({"name": name, "key": key, "line": line}))
        return
    click.echo(key)
    if path is None:
        click.echo(line)
        click.echo(
            "Give the first line to the client: it is not shown again. Add the second to the key file.", err=True
        )
    else:
        click.echo(f"Give this key to the client: it is not shown again. {path} has its hash.", err=True)


@keys.command("hash", epilog="\b\nExample:\n  yardstick keys hash alice < key.txt >> keys")
@click.argument("name")
@click.option("--file", "path", type=KEY_FILE, help="Append the line to this file (made with mode 0600).")
def hash_(name: str, path: Path | None) -> None:
    """Read a key that exists already from stdin and print its line for the key file."""
    _require_name(name)
    typed = sys.stdin.isatty()
    key: str = click.prompt("Key", hide_input=True, err=True) if typed else sys.stdin.readline()
    key = key.strip()
    if len(key) < 16:
        raise click.ClickException(
            "a key needs at least 16 characters on the first line of stdin; `keys new` makes one"
        )
    line = key_line(name, key)
    if path is None:
        click.echo(line)
    else:
        _append(path, name, line)
        click.echo(f"{path} has the hash of {name}'s key.", err=True)


def _require_name(name: str) -> None:
    if not is_name(name):
        raise click.BadParameter(
            "letters, digits and . _ @ - only, at most 64, the first a letter or digit", param_hint="NAME"
        )


def _append(path: Path, name: str, line: str) -> None:
    """Add a line to a key file that stays valid. Ends the command if the file is not one, or has this name or key."""
    try:
        known = read_key_file(path) if path.exists() else {}
        if name in known.values():
            raise click.ClickException(
                f"{path} has a key for {name!r} already. Choose another name, or remove that line"
            )
        if bytes.fromhex(line.rpartition(":")[2]) in known:
            raise click.ClickException(f"{path} has this key already, under another name")
        unfinished = path.exists() and path.read_bytes()[-1:] not in (b"\n", b"")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write((b"\n" if unfinished else b"") + line.encode() + b"\n")
    except KeyFileError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
