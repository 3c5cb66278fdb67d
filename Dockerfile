# syntax=docker/dockerfile:1
# The images, for those who have a container engine. images/build makes the same without one.
#   docker build --target proxy -t ghcr.io/packageproxy/packageproxy .
#   docker build --target operator -t ghcr.io/packageproxy/packageproxy-operator .

FROM docker.io/library/rust:1-bookworm AS builder
WORKDIR /src
COPY . .
# Static: an image holds one program and no C library. Under an explicit target the flags do not reach build scripts
# and macros, which cannot be static.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target="$(uname -m)-unknown-linux-gnu" \
    && mkdir /out \
    && RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/usr/local/cargo=/cargo" \
       cargo build --locked --release --target "$target" -p proxy -p operator \
    && for program in packageproxy packageproxy-operator; do \
           strip --strip-debug -o "/out/$program" "target/$target/release/$program"; \
       done

FROM scratch AS base
COPY images/passwd /etc/passwd
COPY LICENSE /licenses/LICENSE
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/ SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
WORKDIR /
USER 65532:65532
LABEL org.opencontainers.image.licenses=Apache-2.0

FROM base AS operator
LABEL org.opencontainers.image.title="PackageProxy operator" \
      org.opencontainers.image.description="Kubernetes operator of PackageProxy"
COPY --from=builder /out/packageproxy-operator /packageproxy-operator
ENTRYPOINT ["/packageproxy-operator"]

# Last, so that it is what a build without --target makes.
FROM base AS proxy
LABEL org.opencontainers.image.title="PackageProxy" \
      org.opencontainers.image.description="Caching, verifying proxy for package registries"
COPY --from=builder /out/packageproxy /packageproxy
ENTRYPOINT ["/packageproxy"]
