"""`python -m landscape`: the command line."""

from .cli import main

main(prog_name="landscape")
