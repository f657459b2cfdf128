"""`python -m quotegrid` is the `quotegrid` program."""

from quotegrid.command_line import main

main()
