"""What several revisions do in the same way. ``env.py`` and ``alembic.ini`` put this folder's parent on the path."""
