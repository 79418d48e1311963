"""`aegis` with one small table instead of those of the product; quick to start.

python -m tests.integration.loans dlq list
"""

from __future__ import annotations

import sqlalchemy as sa

from ops import cli
from processor import tables
from processor.tables.base import FieldType, Projection, Text, View

LOANS = sa.Table(
    "dlq_loan",
    sa.MetaData(),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("begins", sa.Date, nullable=False),
)
FIELDS = {"id": FieldType.KEYWORD, "title": FieldType.KOREAN, "begins": FieldType.DATE}
LOAN = Projection(
    model=LOANS,
    only_when={},
    views=(
        View(
            "milvus",
            "dlq_loan",
            {"id": FieldType.KEYWORD},
            text=Text(("title",), lambda row: str(row["title"])),
        ),
        View("neo4j", "DlqLoan", FIELDS),
        View("elasticsearch", "dlq-loan", FIELDS),
        View("redis", "dlq_loan", FIELDS),
    ),
)

if __name__ == "__main__":
    tables.PROJECTIONS = (LOAN,)
    cli.main()
