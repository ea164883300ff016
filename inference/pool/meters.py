"""What the pool counts, for /metrics."""

from __future__ import annotations

from mongarsd.ground.metrics import Metrics
from mongarsd.inference.pool.cachemeter import CacheMeter

#: Seconds between two tokens of one stream: 5 ms is a small model on a desktop, 5 s a board that swaps.
GAPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Meters:
    def __init__(self, metrics: Metrics) -> None:
        self.jobs = metrics.counter("mongarsd_jobs_total", "Jobs that ended, by outcome.", ("outcome",))
        self.prompt_tokens = metrics.counter("mongarsd_prompt_tokens_total", "Prompt tokens of finished jobs.")
        self.cached_tokens = metrics.counter(
            "mongarsd_cached_prompt_tokens_total", "Prompt tokens taken from the prefix cache."
        )
        self.completion_tokens = metrics.counter("mongarsd_completion_tokens_total", "Tokens generated.")
        self.drafted_tokens = metrics.counter("mongarsd_drafted_tokens_total", "Tokens guessed ahead, of ended jobs.")
        self.accepted_tokens = metrics.counter("mongarsd_accepted_tokens_total", "Guessed tokens that were right.")
        self.embeddings = metrics.counter("mongarsd_embeddings_total", "Texts turned into vectors.")
        self.reranked = metrics.counter("mongarsd_reranked_total", "Documents scored for how well they answer a query.")
        self.queue = metrics.histogram("mongarsd_queue_seconds", "Time from acceptance of a job to its slot.")
        self.first_token = metrics.histogram("mongarsd_first_token_seconds", "Time from acceptance to the first token.")
        self.gap = metrics.histogram(
            "mongarsd_inter_token_seconds", "Time between two deliveries of one running stream.", GAPS
        )
        self.restarts = metrics.counter("mongarsd_worker_restarts_total", "Restarts after a crash or hang.", ("model",))
        self.loads = metrics.histogram("mongarsd_model_load_seconds", "Time from the start of a worker until ready.")
        self.models = metrics.gauge("mongarsd_models_loaded", "Models that are ready.")
        self.busy = metrics.gauge("mongarsd_slots_busy", "Slots that generate.", ("model",))
        self.queued = metrics.gauge("mongarsd_jobs_queued", "Jobs that wait for a slot.", ("model",))
        self.crowded = metrics.gauge("mongarsd_jobs_waiting_for_room", "Jobs whose model waits for busy ones to leave.")
        self.memory = metrics.gauge("mongarsd_worker_memory_bytes", "Resident memory of a worker.", ("model",))
        self.threads = metrics.gauge("mongarsd_threads", "Threads that generate; they follow the load.", ("model",))
        self.cache = CacheMeter(metrics)
        self.kv = metrics.gauge("mongarsd_kv_cached_tokens", "Tokens held in KV cells for reuse.", ("model",))
