"""The engines against each other. Needs torch: `make test-embedding`."""
