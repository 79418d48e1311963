"""Second room of a row's path: what PostgreSQL, the single source of truth, holds."""
