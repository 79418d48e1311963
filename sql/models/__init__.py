"""SQLAlchemy models, one file per group of tables."""

from sql.models.base import Base
from sql.models.business_rules import BusinessRule
from sql.models.cdc import Fence, Heartbeat, Signal
from sql.models.ops import (
    Epoch,
    ReconcileFinding,
    ReconcilePart,
    ReconcileRepair,
    ReconcileRun,
    ReconcileSuccess,
    ReconcileSuspect,
)
from sql.models.policies import Policy
from sql.models.users import User

__all__ = [
    "Base",
    "BusinessRule",
    "Epoch",
    "Fence",
    "Heartbeat",
    "Policy",
    "ReconcileFinding",
    "ReconcilePart",
    "ReconcileRepair",
    "ReconcileRun",
    "ReconcileSuccess",
    "ReconcileSuspect",
    "Signal",
    "User",
]
