#!/bin/sh
# Make a virtual environment and install into it: environment.sh DIRECTORY PIP-ARGUMENTS...
# CONSTRAINTS: a file with the versions that are known to work together.
# Debian's python3 comes without ensurepip; python3-venv brings it, where we may install that.
set -eu
directory=$1
shift
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "aeroctl needs Python 3.11 or newer; $python is $("$python" --version). Set PYTHON=..." >&2
    exit 1
}
rm -rf "$directory"
if ! "$python" -c 'import ensurepip' 2>/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -qq -y python3-venv >&2
fi
"$python" -m venv "$directory" || {
    echo "Python's venv is missing; on Debian: apt install python3-venv" >&2
    exit 1
}
export PIP_CONSTRAINT="${CONSTRAINTS:-constraints.txt}" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
"$directory/bin/python" -m pip install --quiet --upgrade pip
"$directory/bin/python" -m pip install --quiet "$@"
