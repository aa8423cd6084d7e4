"""Publishing events on Redis, fenced by the leader's term there too.

A notifier that was stopped between numbering and publishing may go on when another one has long published newer events.
Postgres cannot hold it back from Redis; so the same script that publishes compares its term with the newest one seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import redis

from jobqueue.events import ALL_JOBS_CHANNEL, JobEvent, user_channel

TERM_KEY = "menu_extraction_notifier_term"

# A term below the newest publishes nothing. After FLUSHALL or on another server the first term heard is the newest.
_PUBLISH = """
local newest = tonumber(redis.call('GET', KEYS[1]) or '0')
local term = tonumber(ARGV[1])
if term < newest then
    return newest
end
if term > newest then
    redis.call('SET', KEYS[1], ARGV[1])
end
for place = 3, #ARGV, 2 do
    redis.call('PUBLISH', ARGV[2], ARGV[place + 1])
    redis.call('PUBLISH', ARGV[place], ARGV[place + 1])
end
return 0
"""


class StaleTermError(Exception):
    """Redis has heard of term ``newest``, so nothing was published."""

    def __init__(self, newest: int) -> None:
        super().__init__(newest)
        self.newest = newest


class Publisher:
    """Publishes for one term, which counts in one ``installation``: several may share a Redis."""

    def __init__(self, client: redis.Redis, term: int, installation: UUID) -> None:
        self._key = f"{TERM_KEY}:{installation}"
        self._term = term
        self._script = client.register_script(_PUBLISH)

    def publish(self, events: Sequence[JobEvent]) -> None:
        """Send each event to the channel of all jobs and to its user's, in one round trip and in order.

        Without events it still makes the term known. Raises ``StaleTermError`` when there is a newer one.
        """
        arguments: list[str | int] = [self._term, ALL_JOBS_CHANNEL]
        for event in events:
            arguments += (user_channel(event.user_id), event.to_json())
        newest = int(self._script(keys=[self._key], args=arguments))
        if newest:
            raise StaleTermError(newest)
