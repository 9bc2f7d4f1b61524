"""Seeing in: commentator, metrics, health and debug endpoints."""
