"""What code written for the system before this one calls; new code has no use for it."""
