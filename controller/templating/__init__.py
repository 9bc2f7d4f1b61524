"""Jinja2 in a sandbox, in a child process that can be killed."""
