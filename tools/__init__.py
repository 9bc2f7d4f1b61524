"""Scripts for developing kopfbus; a package so that the tests can import them."""
