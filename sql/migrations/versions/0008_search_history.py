"""Search history: questions, answers and feedback. Not captured."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = ("search_queries", "search_responses", "user_feedback")


def upgrade() -> None:
    op.execute("""
        CREATE TABLE search_queries (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            user_id uuid NOT NULL,
            query text NOT NULL,
            session_id varchar(100),
            timestamp timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_search_queries PRIMARY KEY (id),
            CONSTRAINT fk_search_queries_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
        );
        CREATE INDEX idx_search_queries_user_id ON search_queries (user_id);
        CREATE INDEX idx_search_queries_timestamp ON search_queries (timestamp);
    """)
    op.execute("""
        CREATE TABLE search_responses (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            query_id uuid NOT NULL,
            answer text,
            sources jsonb NOT NULL,
            response_time_ms integer NOT NULL,
            timestamp timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_search_responses PRIMARY KEY (id),
            CONSTRAINT fk_search_responses_query_id
                FOREIGN KEY (query_id) REFERENCES search_queries (id) ON DELETE CASCADE,
            CONSTRAINT ck_search_responses_response_time_ms CHECK (response_time_ms >= 0)
        );
        CREATE UNIQUE INDEX idx_search_responses_query_id ON search_responses (query_id);
    """)
    op.execute("""
        CREATE TABLE user_feedback (
            id uuid NOT NULL DEFAULT gen_random_uuid(),
            query_id uuid NOT NULL,
            user_id uuid NOT NULL,
            rating integer NOT NULL,
            comment text,
            timestamp timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT pk_user_feedback PRIMARY KEY (id),
            CONSTRAINT fk_user_feedback_query_id
                FOREIGN KEY (query_id) REFERENCES search_queries (id) ON DELETE CASCADE,
            CONSTRAINT fk_user_feedback_user_id FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
            CONSTRAINT ck_user_feedback_rating CHECK (rating >= 1 AND rating <= 5)
        );
        CREATE INDEX idx_user_feedback_query_id ON user_feedback (query_id);
        CREATE INDEX idx_user_feedback_user_id ON user_feedback (user_id);
    """)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
