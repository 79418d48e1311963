"""Beside a row's path: proves that every store shows what PostgreSQL holds, under live traffic."""
