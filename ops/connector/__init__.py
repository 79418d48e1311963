"""`aegis connector`: the Debezium connector, from its definition to a running task."""
