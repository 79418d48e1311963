# The `aegis` command: the processor by default, any other as `docker compose run --rm processor aegis ...`.
FROM python:3.11-slim-bookworm AS build
RUN python -m venv --without-pip /opt/aegis
COPY requirements.lock /
RUN pip --python /opt/aegis install --no-cache-dir --no-deps --require-hashes --requirement /requirements.lock
# .dockerignore lets through what is needed
COPY . /app
RUN mv /app/docker/aegis /opt/aegis/bin/ && rm -r /app/docker /app/requirements.lock \
 && python -m compileall -q /app

FROM python:3.11-slim-bookworm
RUN groupadd --gid 10001 aegis \
 && useradd --uid 10001 --gid aegis --no-create-home --home-dir /var/cache/aegis aegis \
 && install -d -o aegis -g aegis /var/cache/aegis /reports
COPY --from=build /opt/aegis /opt/aegis
COPY --from=build /app /app
# Scans that memory does not hold are sorted in SQLite's temporary files: on a disk, not in a tmpfs
ENV PATH=/opt/aegis/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 SQLITE_TMPDIR=/var/cache/aegis
WORKDIR /app
USER 10001
STOPSIGNAL SIGTERM
CMD ["aegis", "process"]
