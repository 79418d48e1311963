"""`aegis keys`: keys of encrypted fields, and their rotation."""
