"""The Kubernetes API: client, errors, informer, store, the kopf thread, and fenced writes."""
