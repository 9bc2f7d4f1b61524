"""Targets, drift and status: everything that is written to the cluster."""
