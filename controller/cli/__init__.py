"""The command line: kopfbus and python -m controller."""
