# What `make demo` shows on the cluster that the sandbox has started.
show() {
    printf '\n$ %s\n' "$*"
    "$@"
}
show aeroctl inspect cluster
show aeroctl inspect nodes
show aeroctl inspect wal
show aeroctl inspect mvcc
show aeroctl health
