"""The program ``tt-run``."""

import click
import pydantic


@click.command()
def main() -> None:
    """Run a program on several hosts."""
    click.echo(pydantic.VERSION)
