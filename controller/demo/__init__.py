"""The demo: a sandbox, two real replicas, and a story whose every step is checked."""
