"""Rows of the tables that are not captured, each after those it refers to; and what these tables refuse."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

NAN = float("nan")
USER, QUERY, BATCH, CHAIN, IMAGE, NOBODY = (UUID(int=n) for n in range(1, 7))
VALID: Final[dict[str, dict[str, Any]]] = {
    "search_queries": {"id": QUERY, "user_id": USER, "query": "청년 창업 지원"},
    "search_responses": {"query_id": QUERY, "answer": "네", "sources": [], "response_time_ms": 0},
    "user_feedback": {"query_id": QUERY, "user_id": USER, "rating": 5, "comment": "좋아요"},
    "pipeline_metadata": {"pipeline_run_id": "run", "processing_path": "hot", "status": "running"},
    "processing_history": {"policy_id": "gone", "processing_path": "cold", "status": "active"},
    "quality_metrics": {"policy_id": "gone", "total_score": 0.7},
    "audit_logs": {"entity_type": "policies", "entity_id": "gone", "action": "update", "actor": "me"},
    "batch_executions": {"id": BATCH, "batch_id": "b", "status": "RUNNING", "total_images": 2},
    "chain_executions": {"id": CHAIN, "batch_execution_id": BATCH, "status": "PENDING", "total_tasks": 2},
    "task_logs": {"task_id": "t", "chain_execution_id": CHAIN, "status": "RETRY", "error": "busy"},
    "ocr_executions": {
        "id": IMAGE,
        "chain_execution_id": CHAIN,
        "image_path": "in/1.png",
        "public_path": "out/1.png",
        "status": "success",
    },
    "ocr_text_boxes": {
        "ocr_execution_id": IMAGE,
        "text": "서울",
        "confidence": 0.5,
        "bbox": [0, 0, 10, 10],
    },
    "outbox_events": {"aggregatetype": "policy", "aggregateid": "policy-1", "type": "x", "payload": {}},
    "intake_letters": {"raw_record": b"\xff\x00", "code": "DP_1004", "reason": "not UTF-8"},
}
PARENTS: Final = {
    "search_queries": ("users",),
    "search_responses": ("users", "search_queries"),
    "user_feedback": ("users", "search_queries"),
    "chain_executions": ("batch_executions",),
    "task_logs": ("batch_executions", "chain_executions"),
    "ocr_executions": ("batch_executions", "chain_executions"),
    "ocr_text_boxes": ("batch_executions", "chain_executions", "ocr_executions"),
}
"""What a row refers to, the farthest first."""

Refusal = tuple[str, dict[str, Any], str]
_CHECKED: Final[dict[tuple[str, str], tuple[Any, ...]]] = {
    ("search_responses", "response_time_ms"): (-1,),
    ("user_feedback", "rating"): (0, 6),
    ("pipeline_metadata", "processing_path"): ("warm", "HOT", ""),
    ("pipeline_metadata", "records_processed"): (-1,),
    ("pipeline_metadata", "records_failed"): (-1,),
    ("processing_history", "processing_path"): ("warm",),
    ("processing_history", "quality_score"): (-0.1, 1.1, NAN),
    ("processing_history", "processing_time_ms"): (-1,),
    **{
        ("quality_metrics", score): (-0.1, 1.1, NAN)
        for score in ("total_score", "completeness", "accuracy", "consistency", "timeliness")
    },
    **{
        (table, "status"): ("DONE", "success")
        for table in ("batch_executions", "chain_executions", "task_logs")
    },
    ("batch_executions", "completed_images"): (-1,),
    ("batch_executions", "failed_images"): (-1,),
    ("chain_executions", "completed_tasks"): (-1,),
    ("chain_executions", "failed_tasks"): (-1,),
    ("ocr_executions", "status"): ("SUCCESS", "pending"),
    ("ocr_text_boxes", "confidence"): (-0.1, 1.2, NAN),
    ("intake_letters", "attempts"): (0,),
}
LARGEST: Final = 2**31 - 1
REFUSED: Final[list[Refusal]] = [
    *(
        (table, {column: value}, f"ck_{table}_{column}")
        for (table, column), values in _CHECKED.items()
        for value in values
    ),
    ("batch_executions", {"completed_images": 2, "failed_images": 1}, "ck_batch_executions_total_images"),
    (
        "batch_executions",
        {"completed_images": LARGEST, "failed_images": LARGEST},
        "ck_batch_executions_total_images",
    ),
    ("chain_executions", {"completed_tasks": 2, "failed_tasks": 1}, "ck_chain_executions_total_tasks"),
]
ACCEPTED: Final[list[tuple[str, dict[str, Any]]]] = [
    *(("user_feedback", {"rating": rating, "comment": None}) for rating in (1, 2, 3, 4, 5)),
    ("search_responses", {"answer": None, "sources": {"none": True}, "response_time_ms": LARGEST}),
    *(("processing_history", {"quality_score": score}) for score in (0.0, 1.0, None)),
    *(
        (table, {"status": status})
        for table in ("batch_executions", "chain_executions", "task_logs")
        for status in ("PENDING", "STARTED", "SUCCESS", "RUNNING", "FAILURE", "RETRY", "REVOKED")
    ),
    ("batch_executions", {"completed_images": 1, "failed_images": 1}),
    ("batch_executions", {"total_images": LARGEST, "completed_images": LARGEST}),
    *(("ocr_text_boxes", {"confidence": confidence}) for confidence in (0.0, 1.0)),
    ("ocr_executions", {"image_path": "가" * 500, "public_path": "\U0001f600" * 500, "status": "failed"}),
    ("audit_logs", {"entity_id": None}),
]
AGAIN: Final[list[Refusal]] = [
    ("search_responses", {}, "idx_search_responses_query_id"),
    ("batch_executions", {"id": NOBODY}, "uq_batch_executions_batch_id"),
    ("batch_executions", {"batch_id": "other"}, "pk_batch_executions"),
    ("task_logs", {}, "uq_task_logs_task_id"),
    ("ocr_executions", {"id": NOBODY, "public_path": "other"}, "uq_ocr_executions_image_path"),
    ("ocr_executions", {"id": NOBODY, "image_path": "other"}, "uq_ocr_executions_public_path"),
]
"""What is refused the second time."""
UNKNOWN: Final[list[Refusal]] = [
    (table, {column: NOBODY}, f"fk_{table}_{column}")
    for table, column in (
        ("search_queries", "user_id"),
        ("search_responses", "query_id"),
        ("user_feedback", "query_id"),
        ("user_feedback", "user_id"),
        ("chain_executions", "batch_execution_id"),
        ("task_logs", "chain_execution_id"),
        ("ocr_executions", "chain_execution_id"),
        ("ocr_text_boxes", "ocr_execution_id"),
    )
]
"""References to what is not there."""
