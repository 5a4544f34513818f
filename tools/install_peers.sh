#!/bin/sh
# The real programs that tests talk to, from Debian. As root or with a sudo that asks nothing; else it says what is missing.
set -eu
packages="kamailio kamailio-extra-modules kamailio-mysql-modules sip-tester mariadb-server chromium tshark nginx-light freeradius-utils"

command -v dpkg-query >/dev/null || { echo "Not a Debian system: tests skip the peers that are missing."; exit 0; }
missing=""
for package in $packages; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "Missing, so their tests are skipped:$missing (run as root: apt install$missing)"
    exit 0
fi

# Nothing that is installed for tests may start, now or at the next boot.
policy=/usr/sbin/policy-rc.d
made_policy=""
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    made_policy=yes
fi
trap '[ -z "$made_policy" ] || $as_root rm -f "$policy"' EXIT

echo "Installing$missing ..."
install() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null; }
install || { $as_root apt-get update -qq; install; } || echo "They could not be installed; their tests are skipped."
if [ -d /run/systemd/system ]; then
    for unit in kamailio mariadb nginx; do
        case "$missing" in *"$unit"*) $as_root systemctl disable --now --quiet "$unit" 2>/dev/null || true ;; esac
    done
fi
