"""An in-memory Kubernetes API server for the demo and for fast tests."""
