# `hgmnet serve` with a model folder, alone: docs/deploy.md.
FROM python:3.12-slim-bookworm AS build
# An index with another torch, such as one for CPUs alone; empty for pip's own.
ARG TORCH_INDEX=""
WORKDIR /build
COPY requirements.lock dist/*.whl ./
RUN grep -oE '^(uv|torch|torchvision)==[^ ;\\]+' requirements.lock > pins \
    && python -m venv /opt/hgmnet \
    && pip install --no-cache-dir --constraint pins uv \
    && if [ -n "$TORCH_INDEX" ]; then uv pip install --no-cache --python /opt/hgmnet/bin/python \
         --index-url "$TORCH_INDEX" --constraint pins torch torchvision; fi \
    && uv pip install --no-cache --python /opt/hgmnet/bin/python --constraint requirements.lock \
         "$(ls ./*.whl)[serve]"

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home hgmnet
COPY --from=build /opt/hgmnet /opt/hgmnet
ENV PATH=/opt/hgmnet/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER 10001
EXPOSE 8080
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(u.Request('http://127.0.0.1:8080/health', headers={'Authorization': 'Bearer ' + os.environ.get('HGMNET_TOKEN', '')}), timeout=5)"]
ENTRYPOINT ["hgmnet", "serve", "--host", "0.0.0.0", "--port", "8080", "--model", "/model", "--request-log"]
