# The image: one binary on a small Debian. Build it with BuildKit, which every current `docker build` uses.
#
# It runs as it is, on SQLite in /data. Where people reach it is said by
# DOORSTEP_SERVER_PUBLIC_URL; docker-compose.yml shows the rest.

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# libpq, OpenSSL and SQLite are compiled in; what that takes (gcc, make, perl) is in the image
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --package doorstep-api --bin doorstep \
    && install -D --mode=0755 target/release/doorstep /out/doorstep

# with bash, for the health check: there is no HTTP client in the binary, and none is put beside it
FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Doorstep" \
      org.opencontainers.image.description="Headless customer sign-in for a help center" \
      org.opencontainers.image.licenses="Apache-2.0"

RUN useradd --system --user-group --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin doorstep \
    && install --directory --owner=doorstep --group=doorstep --mode=0700 /data
# whom to believe when mail is sent over TLS
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/doorstep /usr/local/bin/doorstep

USER 10001:10001
WORKDIR /data
VOLUME /data
ENV DOORSTEP_SERVER_LISTEN=0.0.0.0:8080 \
    DOORSTEP_DATA_DIR=/data
EXPOSE 8080

# A request like any other, by bash's own sockets. It asks /healthz and not /readyz: a database that is away is not
# cured by starting Doorstep anew. Migrations run before it listens, hence the patience at the start.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["bash", "-c", "exec 3<>\"/dev/tcp/127.0.0.1/${DOORSTEP_SERVER_LISTEN##*:}\" && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r -t 4 _ status _ <&3 && [[ $status == 200 ]] || exit 1"]

ENTRYPOINT ["doorstep"]
CMD ["serve"]
