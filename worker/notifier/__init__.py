"""The notifier: relays committed status changes to Redis and hands due jobs to Celery."""
