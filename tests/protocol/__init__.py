"""Explores every order of steps around one key: no false verdict, no missed fault."""
