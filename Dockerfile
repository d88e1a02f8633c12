# Not 3.11: its asyncio.wait_for, with which psycopg's pool waits, can swallow a cancellation.
FROM python:3.13-slim AS build

WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src ./src
COPY domain ./domain
COPY nodes ./nodes
COPY desk ./desk
COPY graph ./graph
COPY checkpoints ./checkpoints
COPY server ./server
COPY elsewhere ./elsewhere
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:3.13-slim

COPY requirements.lock /tmp/
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock
COPY --from=build /dist /tmp/dist
RUN pip install --no-cache-dir --no-deps /tmp/dist/*.whl \
    && rm -r /tmp/dist /tmp/requirements.lock \
    && useradd --uid 10001 --create-home hitl

USER 10001
WORKDIR /home/hitl
ENV HOST=0.0.0.0 PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]

# SIGTERM drains; give it HITL_DRAIN_SECONDS and 5 s before anything kills it.
ENTRYPOINT ["hitl"]
CMD ["serve"]
