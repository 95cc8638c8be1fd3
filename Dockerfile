# Weft in a container. Models come in at /models (read-only), results go out at /output, everything else that is kept
# (state, workflows, users) at /weft. See docs/server.md.
#
#   docker build -t weft .
#   docker run --rm --gpus all -p 127.0.0.1:8118:8118 -v "$PWD/models:/models:ro" -v weft-output:/output \
#       -v weft-home:/weft weft

FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
# What changes seldom first: the layer with torch is made again only when the constraints are others.
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt torch diffusers transformers peft accelerate
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.12-slim
RUN useradd --uid 10001 --home-dir /weft --create-home weft \
    && mkdir -p /models /output \
    && chown weft:weft /output
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH \
    WEFT_HOME=/weft \
    PYTHONUNBUFFERED=1
USER weft
WORKDIR /weft
VOLUME ["/models", "/output", "/weft"]
EXPOSE 8118
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8118/healthz', timeout=4)"]
# Inside the container every address is its own: who may reach it is said by `-p`, and the token stands before it all.
ENTRYPOINT ["weft", "serve", "--host", "0.0.0.0", "--no-browser", "--models", "/models", "--out", "/output"]
CMD ["--log", "json", "--log-level", "info"]
