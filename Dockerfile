# docker build -t clairwatch .
# For several architectures: docker buildx build --platform linux/amd64,linux/arm64 -t clairwatch .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w" -o /clairwatch .

# nonroot is user and group 65532, as deploy/clairwatch.yaml has it.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /clairwatch /clairwatch
ENTRYPOINT ["/clairwatch"]
