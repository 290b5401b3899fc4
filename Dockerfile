# The image of `make image`, made by Docker.
#
#   docker build .                                     compiles in the golang image
#   make image && docker build --target prebuilt .     takes what make image has left in dist/, and pulls nothing
#
# Both have the files that scripts/image puts into its own image. The digest differs from that one: Docker writes the time of
# the build into it.

FROM scratch AS prebuilt
# A builder that knows no better builds this stage on the way to the last one too, where nothing is in dist/.
COPY LICENSE dist/rootf[s] /
USER 65532:65532
ENTRYPOINT ["/baton"]

FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN go run ./scripts/image -rootfs /rootfs

FROM scratch
COPY --from=build /rootfs /
USER 65532:65532
ENTRYPOINT ["/baton"]
