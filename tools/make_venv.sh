#!/bin/sh
# make_venv.sh VENV LOCK: a virtual environment with exactly the packages of LOCK (every one checked by its hash) and this checkout in it.
set -eu
venv=$1
lock=$2
python=${PYTHON:-python3}
root=$(cd "$(dirname "$0")/.." && pwd)

fail() { echo "ringfence: $*" >&2; exit 2; }

command -v "$python" >/dev/null || fail "python3 is missing; install it (apt install python3 python3-venv)."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is too old; Python 3.11 or newer is needed."

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian keeps what makes a virtual environment in a package of its own.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing python3-venv ..."
        { apt-get install -qq -y python3-venv || { apt-get update -qq && apt-get install -qq -y python3-venv; }; } >/dev/null
    else
        fail "python3 cannot make virtual environments; run \`apt install python3-venv\` as root."
    fi
fi

if [ ! -x "$venv/bin/python" ]; then
    echo "Making $venv ..."
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
echo "Installing the packages of $lock (checked by hash) ..."
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$lock"

# The checkout itself: a path and a command, no build.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$root/src" > "$site/ringfence-checkout.pth"
cat > "$venv/bin/ringfence" <<SCRIPT
#!$(cd "$venv/bin" && pwd)/python
from ringfence.apps.cli.main import main

main()
SCRIPT
chmod 755 "$venv/bin/ringfence"
