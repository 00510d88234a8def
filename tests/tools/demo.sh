# What `make demo` shows on the cluster that the sandbox has started on n1.
set -eu
said=$(mktemp)
trap 'rm -f "$said"' EXIT
show() {
    printf '\n$ %s\n' "$*"
    "$@" 2>"$said" || { status=$?; cat "$said" >&2; exit $status; }
    cat "$said" >&2
}
show aeroctl inspect cluster
show aeroctl inspect nodes
show aeroctl inspect wal
show aeroctl inspect mvcc
show aeroctl health
show aeroctl explain promote n2
show aeroctl promote n2 --yes --reason demo
request=$(sed -n 's/^request \([0-9a-f-]*\):.*/\1/p' "$said")
show aeroctl outcome "$request"
show aeroctl audit --verify
show aeroctl timeline --request "$request"
show aeroctl inspect cluster
