"""`aegis dlq`: what could not be applied - to look at, to count, and to have tried again."""
