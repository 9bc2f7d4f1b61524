"""What holds for all tests: Hypothesis sets no time limit of its own, as the machine may be busy."""

from hypothesis import settings

settings.register_profile("kopfbus", deadline=None)
settings.load_profile("kopfbus")
