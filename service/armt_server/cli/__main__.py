"""`python -m armt_server.cli`."""

from armt_server.cli import main

main()
