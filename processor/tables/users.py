"""Users: their department and access level. Exactly the published columns; what names a person stays away."""

from __future__ import annotations

from processor.tables.base import Edge, FieldType, Projection, View
from sql.models import User

_USER = {
    "id": FieldType.KEYWORD,
    "access_level": FieldType.LONG,
    "is_active": FieldType.BOOLEAN,
    "created_at": FieldType.TIMESTAMP,
    "updated_at": FieldType.TIMESTAMP,
}

USERS = Projection(
    model=User.__table__,
    only_when={},
    views=(
        View(
            store="neo4j",
            name="User",
            fields=_USER,
            edges=(Edge("department", "BELONGS_TO", "Department", "name"),),
        ),
        View(
            store="redis",
            name="user",
            fields={**_USER, "department": FieldType.KEYWORD},
            optional=True,
        ),
    ),
)
