"""Downloading a picture from an address somebody else chose, without being turned against our own network."""

from jobqueue.fetch.checked_image import compute_sha256_from_url, fetch_image

__all__ = ["compute_sha256_from_url", "fetch_image"]
