# One image with the one binary. The command chooses the service: `control-plane`, `executor`, `migrate`,
# `admin`, `health`.

# Base images, of the same Debian and therefore the same glibc. Override them for a registry mirror.
ARG BUILD_IMAGE=rust:1.95.0-bookworm
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
# The image's own compiler, which is the one that rust-toolchain.toml pins, without the components for
# development.
ENV RUSTUP_TOOLCHAIN=1.95.0 CARGO_TERM_COLOR=never
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    cargo build --locked --release --package restroy --bin restroy \
    && install -D -m 0755 target/release/restroy /out/restroy

# glibc, libgcc, certificates of public authorities (for HTTP requests of scripts), and nothing else: no
# shell, no package manager.
FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="restroy" \
      org.opencontainers.image.description="Pipelines of Lua scripts, each script in a WebAssembly sandbox of its own" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/restroy /usr/local/bin/restroy
# The image's user `nonroot`, by number, so that an orchestrator can verify that it is not root.
USER 65532:65532
WORKDIR /
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/restroy"]
CMD ["--help"]
