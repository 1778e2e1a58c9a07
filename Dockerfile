# One process, no root, the workspace as a volume: docs/how-to/run-as-a-service.md
FROM python:3.11-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN python -m venv /opt/chatkeep \
    && /opt/chatkeep/bin/pip install --no-cache-dir -c constraints.txt '.[all]'

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin chatkeep \
    && install -d -m 700 -o chatkeep -g chatkeep /workspace
COPY --from=build /opt/chatkeep /opt/chatkeep
ENV PATH=/opt/chatkeep/bin:$PATH \
    CHATKEEP_WORKSPACE=/workspace \
    CHATKEEP_HOST=0.0.0.0 \
    CHATKEEP_PORT=8000
USER 10001:10001
VOLUME ["/workspace"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{os.environ[\"CHATKEEP_PORT\"]}/health', timeout=4)"]
ENTRYPOINT ["chatkeep"]
CMD ["serve"]
