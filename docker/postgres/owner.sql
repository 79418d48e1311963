-- Run once, when the data volume is empty. The owner is no superuser: migrations must work for an owner as a
-- real installation has one. PostgreSQL asks REPLICATION and CREATEROLE of a role that creates Debezium's.
\getenv password AEGIS_OWNER_PASSWORD
CREATE ROLE aegis LOGIN CREATEROLE CREATEDB REPLICATION PASSWORD :'password';
GRANT pg_monitor TO aegis;
CREATE DATABASE aegis OWNER aegis;
