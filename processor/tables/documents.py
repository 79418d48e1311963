"""Documents: what they say, who may read them, and the paths that they are filed under."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from processor.rows import Kind, Row
from processor.tables.base import Dependency, FieldType, Joined, Projection, Text, View
from sql.models import DocTaxonomy, Document

_CARD = {
    "id": FieldType.KEYWORD,
    "title": FieldType.KOREAN,
    "document_type": FieldType.KEYWORD,
    "source": FieldType.KEYWORD,
    "access_level": FieldType.LONG,
    "department": FieldType.KEYWORD,
    "created_at": FieldType.TIMESTAMP,
}
_PATH = sa.func.array_to_string(DocTaxonomy.path, "/")
_PATHS = sa.func.array(
    sa.select(_PATH)
    .where(DocTaxonomy.doc_id == Document.id)
    .group_by(_PATH)
    .order_by(sa.collate(_PATH, "C"))
    .correlate(Document.__table__)
    .scalar_subquery(),
    type_=ARRAY(sa.Text),
)


def document_text(row: Row) -> str:
    """What is embedded: the title, and a line below it the content."""
    return "\n".join(part for part in (row.get("title"), row.get("content")) if part and part.strip())


DOCUMENTS = Projection(
    model=Document.__table__,
    only_when={},
    views=(
        View(
            store="milvus",
            name="document_embeddings",
            fields=_CARD,
            text=Text(columns=("title", "content"), compose=document_text),
        ),
        View(
            store="neo4j",
            name="Document",
            hub="DocumentId",
            fields={**_CARD, "updated_at": FieldType.TIMESTAMP},
        ),
        View(
            store="elasticsearch",
            name="documents",
            fields={
                **_CARD,
                "content": FieldType.KOREAN,
                "metadata": FieldType.STORED,
                "taxonomy_paths": FieldType.KEYWORDS,
                "updated_at": FieldType.TIMESTAMP,
            },
        ),
    ),
    joined={"taxonomy_paths": Joined(Kind.TEXT_LIST, _PATHS)},
    dependencies=(Dependency("public.doc_taxonomy", {"id": "doc_id"}),),
)
