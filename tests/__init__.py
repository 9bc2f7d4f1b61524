"""Tests of kopfbus; the folders mirror the packages."""
