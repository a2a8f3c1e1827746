"""``python -m trine``: the command line, also under PyTorch's launcher."""

from trine.cli import main

main()
