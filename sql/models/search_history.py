"""Search history: what users asked, what they were answered, what they thought of it. It stays in PostgreSQL.

A question's responses and feedback go with it, and all of it with the user. How long it is kept:
intake/retention.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from sql.models.base import PERSONAL, Base, UuidKey, between

NOW = sa.text("now()")
TIME = sa.DateTime(timezone=True)


class SearchQuery(UuidKey, Base):
    """One question of a user."""

    __tablename__ = "search_queries"
    __table_args__ = (
        sa.Index("idx_search_queries_user_id", "user_id"),
        sa.Index("idx_search_queries_timestamp", "timestamp"),
        {"info": PERSONAL},
    )

    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"))
    query: Mapped[str] = mapped_column(sa.Text)
    session_id: Mapped[str | None] = mapped_column(sa.String(100))
    timestamp: Mapped[datetime] = mapped_column(TIME, server_default=NOW)


class SearchResponse(UuidKey, Base):
    """The answer to a question, at most one, and what it was made of; no `answer`: none was found."""

    __tablename__ = "search_responses"
    __table_args__ = (
        sa.CheckConstraint("response_time_ms >= 0", name="response_time_ms"),
        sa.Index("idx_search_responses_query_id", "query_id", unique=True),
        {"info": PERSONAL},
    )

    query_id: Mapped[UUID] = mapped_column(sa.ForeignKey("search_queries.id", ondelete="CASCADE"))
    answer: Mapped[str | None] = mapped_column(sa.Text)
    sources: Mapped[list[Any] | dict[str, Any]] = mapped_column(JSONB)
    response_time_ms: Mapped[int] = mapped_column(sa.Integer)
    timestamp: Mapped[datetime] = mapped_column(TIME, server_default=NOW)


class UserFeedback(UuidKey, Base):
    """What a user thought of an answer, from 1 (useless) to 5."""

    __tablename__ = "user_feedback"
    __table_args__ = (
        sa.CheckConstraint(between("rating", 1, 5), name="rating"),
        sa.Index("idx_user_feedback_query_id", "query_id"),
        sa.Index("idx_user_feedback_user_id", "user_id"),
        {"info": PERSONAL},
    )

    query_id: Mapped[UUID] = mapped_column(sa.ForeignKey("search_queries.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"))
    rating: Mapped[int] = mapped_column(sa.Integer)
    comment: Mapped[str | None] = mapped_column(sa.Text)
    timestamp: Mapped[datetime] = mapped_column(TIME, server_default=NOW)
