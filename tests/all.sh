# Run every test, in three parts at a time: most of a live test is waiting for a cluster.
# all.sh PYTEST
set -u
pytest=$1
changes="tests/live/test_changes.py tests/live/test_consent.py tests/live/test_crashes.py tests/live/test_faults.py tests/live/test_refusals.py tests/live/test_reconstruction.py tests/live/test_interference.py"
said=$(mktemp -d)
trap 'kill $running 2>/dev/null; rm -rf "$said"' EXIT
# shellcheck disable=SC2086
"$pytest" $changes >"$said/changes" 2>&1 &
first=$!
# shellcheck disable=SC2046,SC2086
"$pytest" tests/live $(printf -- ' --ignore=%s' $changes) >"$said/live" 2>&1 &
second=$!
running="$first $second"
"$pytest" --ignore=tests/live
status=$?
wait "$second" || status=$?
cat "$said/live"
wait "$first" || status=$?
cat "$said/changes"
exit "$status"
