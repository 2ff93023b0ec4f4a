"""Every metric, declared once, a file for each kind of process, and the endpoint that serves them.

Worker processes write theirs into files of one folder (prometheus_client's multiprocess mode), which their
supervisor merges. A file belongs to a worker's slot, not to a process, so that a restarted worker goes on
counting where the killed one stopped. What the ledger in Redis knows is read from there at each scrape, so
that the numbers are the ledger's own, whoever counted and however often processes were restarted.
"""

from worker.metrics.alerts import AlertMetrics
from worker.metrics.evidence import EvidenceCollector, EvidenceMetrics
from worker.metrics.gateway import GatewayMetrics
from worker.metrics.inspect import STAGES, WorkerMetrics
from worker.metrics.labels import CAMERAS_KEPT, OTHER_CAMERAS, CameraLabels
from worker.metrics.ledger import LedgerCollector
from worker.metrics.limits import show_limits
from worker.metrics.of_line import of_line
from worker.metrics.outbox import OutboxCollector
from worker.metrics.produce import ProduceMetrics
from worker.metrics.serve import merged_registry, serve, worker_files
from worker.metrics.workers import WorkersCollector

__all__ = [
    "CAMERAS_KEPT",
    "OTHER_CAMERAS",
    "STAGES",
    "AlertMetrics",
    "CameraLabels",
    "EvidenceCollector",
    "EvidenceMetrics",
    "GatewayMetrics",
    "LedgerCollector",
    "OutboxCollector",
    "ProduceMetrics",
    "WorkerMetrics",
    "WorkersCollector",
    "merged_registry",
    "of_line",
    "serve",
    "show_limits",
    "worker_files",
]
