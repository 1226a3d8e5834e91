# syntax=docker/dockerfile:1
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /out/millrace ./cmd/millrace && mkdir -p /out/data

# Nothing but the binary, certificates and an empty directory for files.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/millrace /usr/local/bin/millrace
COPY --from=build --chown=nonroot:nonroot /out/data /var/lib/millrace
COPY examples/worker.properties /etc/millrace/worker.properties
WORKDIR /var/lib/millrace
EXPOSE 8083
ENTRYPOINT ["millrace"]
CMD ["run", "/etc/millrace/worker.properties"]
