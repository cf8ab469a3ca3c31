# The image of clairwatch: one static program on distroless/static, which brings certificates and time zones, no shell.
#
#   docker build --build-arg VERSION=$(git describe --tags --always) --build-arg REVISION=$(git rev-parse HEAD) \
#     -t clairwatch .
#
# For several architectures; Go cross-compiles, so nothing is emulated:
#
#   docker buildx build --platform linux/amd64,linux/arm64 ... .
#
# Who releases it names both base images by their digests and sets SOURCE_DATE_EPOCH: then whoever builds it again gets
# the same image, see docs/release.md. With tags the program still is the same where the Go is.
ARG GO_IMAGE=docker.io/library/golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static-debian13:nonroot

FROM --platform=$BUILDPLATFORM $GO_IMAGE AS build
WORKDIR /src
# What changes seldom comes first, so that it is not fetched again for each change of the code.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION REVISION
# No C library, no path of the machine that builds, and nothing of a repository, which .dockerignore leaves out.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false -mod=readonly \
    -ldflags="-s -w -X main.builtVersion=$VERSION -X main.builtRevision=$REVISION" -o /clairwatch .

FROM $BASE_IMAGE
ARG VERSION REVISION
LABEL org.opencontainers.image.title="clairwatch" \
      org.opencontainers.image.description="Tells teams in Slack what vulnerable code runs in their clusters" \
      org.opencontainers.image.source="https://github.com/clairwatch/clairwatch" \
      org.opencontainers.image.documentation="https://github.com/clairwatch/clairwatch#readme" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /clairwatch /clairwatch
# The user and group nonroot of the base image, as deploy/clairwatch.yaml has them: runAsNonRoot wants the number.
USER 65532:65532
ENTRYPOINT ["/clairwatch"]
