"""Fourth room of a row's path: the one consumer application, from Kafka into every derived store."""
