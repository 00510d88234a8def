# Run every test, in two halves at a time: most of a live test is waiting for a cluster.
# all.sh PYTEST
set -u
said=$(mktemp)
trap 'kill "$half" 2>/dev/null; rm -f "$said"' EXIT
faults="tests/live/test_changes.py tests/live/test_crashes.py tests/live/test_faults.py tests/live/test_refusals.py tests/live/test_reconstruction.py tests/live/test_interference.py"
ignored=$(printf -- ' --ignore=%s' $faults)
# shellcheck disable=SC2086
"$1" $faults >"$said" 2>&1 &
half=$!
# shellcheck disable=SC2086
"$1" $ignored
status=$?
wait "$half" || status=$?
cat "$said"
exit "$status"
