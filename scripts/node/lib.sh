# What the scripts of this folder share: where things are, how they speak, and how a finished part appears at once.
# Sourced, not run.
set -euo pipefail
node=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$node/../.." && pwd)
cache=$("$root"/scripts/k8s/cache)/node

say() { echo "node: $*" >&2; }
die() { say "$*"; exit 1; }

module() { # folder of a module, module: its version
  awk -v m="$2" '$1 == "require" {$1 = ""; $0 = $0} $1 == m && $2 ~ /^v/ {print $2; exit}' "$1/go.mod"
}
kubernetes=$(module "$root/scripts/k8s" k8s.io/kubernetes)
arch=$(go env GOARCH) || die "go is not on PATH: Go 1.26 or later is needed"

# digest names what a part is made of: the files given, and the words.
digest() { # words, --, files and folders below this one
  local words=()
  while [ "$1" != -- ]; do words+=("$1"); shift; done
  shift
  (cd "$node" && echo "${words[@]}" && find "$@" -type f ! -name '*_test.go' | LC_ALL=C sort | xargs sha256sum) |
    sha256sum | cut -c1-12
}

# once makes a part of the cache unless it is there: the command gets a scratch path, and what it has made there
# gets its name only when it is done. One at a time; what a killed one left is removed by the next.
once() { # path, command that is given the scratch path
  local path=$1
  shift
  [ ! -e "$path" ] || return 0
  mkdir -p "$cache"
  (
    exec 9>"$(dirname "$path")/.$(basename "$path").lock"
    flock -n 9 || { say "waiting for another build of $(basename "$path")"; flock 9; }
    [ ! -e "$path" ] || exit 0
    rm -rf --one-file-system "$path".tmp.*
    trap 'rm -rf --one-file-system "$path.tmp.$$"*' EXIT
    start=$SECONDS
    "$@" "$path.tmp.$$"
    mv "$path.tmp.$$" "$path"
    say "$(basename "$path") made in $((SECONDS - start)) s"
  )
}
