"""Publishing events on Redis."""

from __future__ import annotations

from collections.abc import Sequence

import redis

from jobqueue.events import ALL_JOBS_CHANNEL, JobEvent, user_channel


def publish_events(client: redis.Redis, events: Sequence[JobEvent]) -> None:
    """Send each event to the channel of all jobs and to its user's, in one round trip and in order."""
    pipeline = client.pipeline(transaction=False)
    for event in events:
        payload = event.to_json()
        pipeline.publish(ALL_JOBS_CHANNEL, payload)
        pipeline.publish(user_channel(event.user_id), payload)
    pipeline.execute()
