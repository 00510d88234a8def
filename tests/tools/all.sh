# Run every test, in four parts at a time: most of a live test is waiting for a cluster. What loads a
# server to see what it bears has the machine to itself, after them.
# all.sh PYTEST
set -u
pytest=$1
changes="tests/live/test_changes.py tests/live/test_consent.py tests/live/test_crashes.py tests/live/test_faults.py tests/live/test_refusals.py tests/live/test_reconstruction.py tests/live/test_interference.py"
said=$(mktemp -d)
running=
status=0
trap 'kill $running 2>/dev/null; rm -rf "$said"' EXIT

begin() { # NAME PYTEST-ARGUMENTS...
    name=$1
    shift
    "$pytest" "$@" >"$said/$name" 2>&1 &
    running="$running $!"
}

# shellcheck disable=SC2086
begin changes $changes
# shellcheck disable=SC2046,SC2086
begin live tests/live $(printf -- ' --ignore=%s' $changes tests/live/test_load.py)
begin etcd tests/etcd
begin unit --ignore=tests/live --ignore=tests/etcd
for part in $running; do
    wait "$part" || status=$?
done
running=
"$pytest" tests/live/test_load.py >"$said/load" 2>&1 || status=$?
cat "$said/unit" "$said/etcd" "$said/live" "$said/changes" "$said/load"
exit "$status"
