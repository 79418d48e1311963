"""Before the row's path: the local servers it runs through, installed, started and watched without Docker."""
