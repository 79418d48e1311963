"""SQLAlchemy models, one file per group of tables."""

from sql.models.base import Base
from sql.models.batches import BatchExecution, ChainExecution, OcrExecution, OcrTextBox, TaskLog
from sql.models.business_rules import BusinessRule
from sql.models.cdc import Fence, Heartbeat, Signal
from sql.models.documents import DocTaxonomy, Document, TaxonomyNode
from sql.models.governance import AuditLog, PipelineMetadata, ProcessingHistory, QualityMetric
from sql.models.intake import IntakeLetter
from sql.models.ops import (
    Epoch,
    ReconcileFinding,
    ReconcilePart,
    ReconcileRepair,
    ReconcileRun,
    ReconcileSuccess,
    ReconcileSuspect,
)
from sql.models.outbox import OutboxEvent
from sql.models.policies import Policy
from sql.models.search_history import SearchQuery, SearchResponse, UserFeedback
from sql.models.users import User

__all__ = [
    "AuditLog",
    "Base",
    "BatchExecution",
    "BusinessRule",
    "ChainExecution",
    "DocTaxonomy",
    "Document",
    "Epoch",
    "Fence",
    "Heartbeat",
    "IntakeLetter",
    "OcrExecution",
    "OcrTextBox",
    "OutboxEvent",
    "PipelineMetadata",
    "Policy",
    "ProcessingHistory",
    "QualityMetric",
    "ReconcileFinding",
    "ReconcilePart",
    "ReconcileRepair",
    "ReconcileRun",
    "ReconcileSuccess",
    "ReconcileSuspect",
    "SearchQuery",
    "SearchResponse",
    "Signal",
    "TaskLog",
    "TaxonomyNode",
    "User",
    "UserFeedback",
]
