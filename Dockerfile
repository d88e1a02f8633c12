FROM python:3.11-slim

COPY requirements.lock /tmp/
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock

WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY domain ./domain
COPY nodes ./nodes
COPY graph ./graph
COPY checkpoints ./checkpoints
COPY server ./server
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --uid 10001 --create-home hitl

USER 10001
WORKDIR /home/hitl
ENV HOST=0.0.0.0 PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]

# SIGTERM drains; give it HITL_DRAIN_SECONDS before anything kills it.
ENTRYPOINT ["hitl"]
CMD ["serve"]
