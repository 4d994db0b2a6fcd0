#!/bin/sh
# Makes .venv with the exact versions of requirements.lock. Every known failure ends in one clear line.
# usage: scripts/make_environment.sh   (PYTHON=/path/to/python3.12 chooses the interpreter)
set -u
cd "$(dirname "$0")/.." || exit 1
needed_mib=4096

stop() { printf 'setup: %s\n' "$1" >&2; exit 1; }

suits() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1; }

if [ -n "${PYTHON:-}" ]; then
    suits "$PYTHON" || stop "PYTHON=$PYTHON is not a Python from 3.11 to 3.13; choose another one with PYTHON=/path/to/python3."
    python=$PYTHON
else
    python=
    for candidate in python3 python3.11 python3.12 python3.13; do
        if suits "$candidate"; then python=$candidate; break; fi
    done
fi
if [ -z "$python" ]; then
    found=$(python3 --version 2>/dev/null || echo 'no python3 at all')
    stop "needs Python 3.11, 3.12 or 3.13, found $found; install one (python.org, brew install python@3.13, apt install python3) and run make again, with PYTHON=/path/to/it if it has another name."
fi

free_mib=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024) }')
if [ ! -x .venv/bin/course ] && [ "$free_mib" -lt "$needed_mib" ]; then
    stop "the disk is nearly full: $free_mib MiB free here, $needed_mib MiB needed; free some space and run make again."
fi

log=$(mktemp "${TMPDIR:-/tmp}/workbook-setup.XXXXXX") || stop "cannot write to ${TMPDIR:-/tmp}: is the disk full?"
pip_process=
trap 'if [ -n "$pip_process" ]; then kill "$pip_process" 2>/dev/null; fi; printf "\nsetup: interrupted; run make again to go on.\n" >&2; exit 130' INT TERM

explain() { # one line from pip's log to what can be done
    if grep -q -i -e 'no space left' -e 'errno 28' "$log"; then
        stop "the disk is full; free at least $needed_mib MiB and run make again. (log: $log)"
    elif grep -q -i -e 'name resolution' -e 'nodename nor servname' -e 'connection' -e 'timed out' -e 'unreachable' -e 'no matching distribution' "$log"; then
        stop "the package index cannot be reached, or lacks a package: check the network or proxy (pip config list) and run make again. (log: $log)"
    fi
    stop "$1: $(grep -v '^ *$' "$log" | tail -n 1) (log: $log)"
}

if ! .venv/bin/python -c 'import pip' >/dev/null 2>&1; then
    rm -rf .venv
    "$python" -m venv .venv >"$log" 2>&1 || explain "$python cannot make a virtual environment (on Debian and Ubuntu: apt install python3-venv)"
fi

total=$(grep -c '==' requirements.lock)
echo "Setting up .venv with $total packages, once (about 3 minutes, 2.5 GB with the CPU build of torch) ..."
.venv/bin/python -m pip install --disable-pip-version-check --no-input -r requirements.lock >"$log" 2>&1 &
pip_process=$!
while kill -0 "$pip_process" 2>/dev/null; do
    if [ -t 1 ]; then printf '\r  %s of %s packages found' "$(grep -c -e '^Collecting' -e '^Requirement already' "$log")" "$total"; fi
    sleep 2
done
wait "$pip_process" || { [ -t 1 ] && echo; explain "the packages could not be installed"; }
pip_process=
[ -t 1 ] && echo
.venv/bin/python -m pip install --disable-pip-version-check --no-input --no-deps -e . >"$log" 2>&1 || explain "course_lib could not be installed"
rm -f "$log"
touch .venv/ready || stop "cannot write to .venv: is the disk full?"
echo "Ready: .venv/bin/course --help, or make lab."
