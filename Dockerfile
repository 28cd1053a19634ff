# auditfuse in a slim image: locked dependencies checked by hash, no root, nothing written to the image.
FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/auditfuse
ENV PATH=/opt/auditfuse/bin:$PATH
WORKDIR /build
# The dependencies change less often than the code: a layer of their own.
COPY requirements.lock ./
RUN pip install --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY detectors detectors
COPY pipeline pipeline
COPY docs/runbooks docs/runbooks
RUN pip install --no-deps --no-build-isolation .

FROM python:3.11-slim
ENV PATH=/opt/auditfuse/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN groupadd --gid 10001 auditfuse \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/auditfuse auditfuse \
    && mkdir -p /var/lib/auditfuse/store /var/lib/auditfuse/state /var/lib/auditfuse/keys /var/lib/auditfuse/journal \
    && chmod 750 /var/lib/auditfuse /var/lib/auditfuse/store \
    && chmod 700 /var/lib/auditfuse/state /var/lib/auditfuse/keys /var/lib/auditfuse/journal \
    && chown -R auditfuse:auditfuse /var/lib/auditfuse
COPY --from=build /opt/auditfuse /opt/auditfuse
USER auditfuse
WORKDIR /var/lib/auditfuse
EXPOSE 8420
STOPSIGNAL SIGTERM
CMD ["auditfuse", "run"]
