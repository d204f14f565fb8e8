#!/bin/sh
# Makes the Go client from the protobuf files, in a directory of its own, and builds it there:
#
#   generate.sh DIRECTORY [PYTHON]     the program is DIRECTORY/grpc_go
#
# PYTHON has grpcio-tools, for protoc (python3 unless named). Running it again does only what is not done.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
proto=$(cd "$here/../../../proto" && pwd)
python=${2:-python3}
mkdir -p "$1/bin" "$1/src"
work=$(cd "$1" && pwd)
module=thalweg.dev/doors/grpc_go

install() {
    [ -x "$work/bin/${1##*/}" ] || (cd "$work" && GOBIN="$work/bin" go install "$1@$2")
}
install google.golang.org/protobuf/cmd/protoc-gen-go v1.36.12
install google.golang.org/grpc/cmd/protoc-gen-go-grpc v1.6.2

options=module=$module
files=
for name in features events admin direct; do
    options=$options,Mthalweg/v1/$name.proto=$module/thalwegv1
    files="$files thalweg/v1/$name.proto"
done
# $files is a list.
# shellcheck disable=SC2086
"$python" -m grpc_tools.protoc -I "$proto" \
    --plugin=protoc-gen-go="$work/bin/protoc-gen-go" --go_out="$work/src" --go_opt="$options" \
    --plugin=protoc-gen-go-grpc="$work/bin/protoc-gen-go-grpc" --go-grpc_out="$work/src" --go-grpc_opt="$options" \
    $files

cp "$here/main.go" "$here/go.mod" "$here/go.sum" "$work/src/"
cd "$work/src"
go build -o "$work/grpc_go" .
