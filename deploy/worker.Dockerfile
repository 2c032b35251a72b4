# The environment of a checkout: Prefect's worker, `hgmnet` commands, MLflow's and Prefect's servers. The checkout itself is a
# volume at /work: docs/deploy.md.
FROM python:3.12-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home hgmnet \
    && install --directory --owner hgmnet /home/hgmnet/.prefect
WORKDIR /work
COPY requirements.lock ./
RUN grep -oE '^uv==[^ ;\\]+' requirements.lock > /tmp/pins \
    && python -m venv /opt/hgmnet \
    && pip install --no-cache-dir --requirement /tmp/pins \
    && uv pip sync --no-cache --python /opt/hgmnet/bin/python --require-hashes requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY hgmnet hgmnet
COPY pipelines pipelines
RUN uv pip install --no-cache --python /opt/hgmnet/bin/python --no-deps --no-build-isolation \
      --config-setting editable_mode=compat --editable . \
    && git config --system --add safe.directory /work
ENV PATH=/opt/hgmnet/bin:$PATH PYTHONUNBUFFERED=1 DO_NOT_TRACK=1 DVC_NO_ANALYTICS=1 HGMNET_ROOT=/work
USER 10001
CMD ["prefect", "worker", "start", "--pool", "hgmnet"]
