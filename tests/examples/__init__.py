"""The examples: checked as a user would, and on API servers."""
