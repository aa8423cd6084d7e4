# The image of every process: jobqueue, the worker, the notifier and Flower. Build: docker build -t menu-jobqueue .
FROM python:3.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# Before the sources, so that a change of code does not install the packages again.
COPY requirements-image.lock ./
RUN pip install --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md LICENSE ./
COPY jobqueue jobqueue
COPY worker worker
COPY alembic alembic
RUN pip install --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
# OpenCV (headless), ONNX Runtime and psycopg2 bring their libraries in their wheels; of the system they use
# libstdc++ and zlib, which this base image has.
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin jobqueue
COPY --from=build /opt/venv /opt/venv
# ONNX Runtime reports its use to its maker unless it is told not to.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1
WORKDIR /srv
USER 10001:10001
CMD ["jobqueue", "--help"]
