"""The Validator interface, the built-in validators and the loading of plug-ins."""
