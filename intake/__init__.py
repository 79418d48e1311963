"""Before a row's path: how rows reach PostgreSQL, and how long they stay. Writes nothing else."""
