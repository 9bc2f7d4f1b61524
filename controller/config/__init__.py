"""The ConfigTemplate: its model and CRD, the loader and the gate."""
