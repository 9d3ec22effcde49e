# An image with hf-toedit, for Hugging Face Jobs, Docker Spaces and other container platforms. It needs no build context:
#
#   docker build -t hf-toedit - < Dockerfile
#   docker run --rm -v "$PWD:/home/user/app" hf-toedit hf-toedit edit sample -o run
#   docker run --rm -p 7860:7860 hf-toedit          # the demo, at http://localhost:7860
#
# Space: make a repository of this file and a README.md whose front matter has `sdk: docker` and `app_port: 7860`. The
#   default command serves the demo.
# Jobs: push the image to a registry and name it: `hf-toedit jobs submit ... --image NAME`. A job runs
#   `uv run --with hf-toedit==VERSION ...`; the image has uv and the package, so a job of the same version installs nothing.
# There is no ENTRYPOINT, because Jobs and Spaces give whole commands.
#
# Build arguments: PACKAGE is what pip installs, such as "hf-toedit[space,probe]==0.1.0", or until the first release
#   "hf-toedit[space] @ https://github.com/hf-toedit/hf-toedit/archive/refs/heads/main.zip". PyTorch comes with CUDA; for
#   a smaller image without it, PIP_EXTRA_INDEX_URL is the address of PyTorch's index of CPU builds.
FROM python:3.12-slim

ARG PACKAGE="hf-toedit[space]"
ARG PIP_EXTRA_INDEX_URL=""

# Spaces run containers as user 1000. It owns its home, where the caches and the working folder are.
RUN useradd --create-home --uid 1000 user \
    && install --directory --owner=user --group=user /home/user/app /home/user/.cache \
    && python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir "${PACKAGE}" "uv>=0.8,<1"

USER 1000
ENV HOME=/home/user \
    PATH=/opt/venv/bin:$PATH \
    VIRTUAL_ENV=/opt/venv \
    HF_HOME=/home/user/.cache/huggingface \
    XDG_CACHE_HOME=/home/user/.cache \
    MPLCONFIGDIR=/home/user/.cache/matplotlib \
    PYTHONUNBUFFERED=1
WORKDIR /home/user/app

EXPOSE 7860
CMD ["hf-toedit", "space", "run", "--host", "0.0.0.0", "--port", "7860"]
