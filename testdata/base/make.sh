#!/bin/bash
# Makes the embedded base image "Pebble Linux 42": oci/ (an OCI layout, ref 42) and keys/*.asc. See README.md.
# Usage: make.sh [STATE]     STATE keeps the secret keys and scratch files (default ../../target/pebble); it is never committed.
# busybox is Debian's package busybox-static, under GPL-2.0-only; its source: apt-get source busybox (version in README.md).
# Needs Debian's rpm, gnupg, busybox-static and python3, and root (rpm --root enters the root it fills with chroot).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "${1:-$here/../../target/pebble}"
state=$(cd "${1:-$here/../../target/pebble}" && pwd)
if [ "$(id -u)" != 0 ]; then exec unshare --map-root-user --map-auto -- "$0" "$state"; fi
export SOURCE_DATE_EPOCH=1735689600 LC_ALL=C.UTF-8 TZ=UTC PATH=/usr/sbin:/sbin:/usr/bin:/bin GPG_TTY=
umask 022
database=/usr/lib/sysimage/rpm
key_time=20240101T000000

# gpg-agent's socket path may have 108 bytes, so the keyring is reached by a short link.
short=$(mktemp -d /tmp/pb.XXXXXX)
cleanup() { gpgconf --homedir "$short/gnupg" --kill all 2>/dev/null || :; rm -rf "$short"; }
trap cleanup EXIT
mkdir -p -m 700 "$state/gnupg"
ln -s "$state/gnupg" "$short/gnupg"
export GNUPGHOME=$short/gnupg

make_key() { # NAME PARAMETERS
  [ ! -e "$state/$1.asc" ] || return 0
  printf '%%no-protection\n%b\nName-Real: Pebble %s key\nName-Comment: for tests only\nName-Email: %s@pebble.invalid\nExpire-Date: 0\n%%commit\n' "$2" "$1" "$1" |
    gpg --batch --quiet --faked-system-time "$key_time!" --gen-key 2>"$state/gpg.log" || { cat "$state/gpg.log" >&2; return 1; }
  gpg --batch --armor --export "$1@pebble.invalid" >"$state/$1.asc"
}
make_key test 'Key-Type: RSA\nKey-Length: 4096\nKey-Usage: sign'
make_key other 'Key-Type: EDDSA\nKey-Curve: ed25519\nKey-Usage: sign'

rm -rf "$state"/{rpms,rpmbuild,root,before.json}
mkdir -p "$state"/{rpms,rpmbuild,root}
for spec in "$here"/specs/*.spec; do
  rpmbuild -bb --quiet --nodeps --target x86_64 \
    -D "_topdir $state/rpmbuild" -D "_rpmdir $state/rpms" -D '_build_name_fmt %%{NAME}.rpm' -D '_buildhost build.pebble.invalid' \
    -D 'use_source_date_epoch_as_buildtime 1' -D 'clamp_mtime_to_source_date_epoch 1' -D 'source_date_epoch_from_changelog 0' \
    -D '_build_id_links none' -D 'debug_package %{nil}' -D '__os_install_post %{nil}' -D '_binary_payload w19.zstdio' \
    -D 'vendor Pebble' -D 'packager tests' -D 'optflags -O2' -D '_buildshell /bin/bash' -D "busybox $(command -v busybox)" \
    "$spec" >"$state/rpmbuild.log" 2>&1 || { cat "$state/rpmbuild.log" >&2; exit 1; }
done
rpmsign --addsign -D "__gpg $(command -v gpg)" -D '_gpg_name test@pebble.invalid' -D "_gpg_path $GNUPGHOME" \
  -D "_gpg_sign_cmd_extra_args --batch --faked-system-time=$key_time!" "$state"/rpms/*.rpm >/dev/null 2>"$state/sign.log" || { cat "$state/sign.log" >&2; exit 1; }

root=$state/root
install() { rpm --root "$root" -D "_dbpath $database" -D '_pkgverify_level signature' -D '_install_langs en' -i "$@" 2> >(grep -v '^rpm: ' >&2); normalise; }
normalise() { # the write-ahead log goes into the database, and pages in the order of a fresh copy
  /usr/bin/python3 -c 'import sqlite3, sys
c = sqlite3.connect(sys.argv[1]); c.execute("pragma wal_checkpoint(truncate)"); c.execute("vacuum"); c.execute("pragma wal_checkpoint(truncate)"); c.close()' "$root$database/rpmdb.sqlite"
  rm -rf "$root$database"/{rpmdb.sqlite-wal,rpmdb.sqlite-shm,.rpm.lock} "$root/var/cache/ldconfig"
}
rpm --root "$root" -D "_dbpath $database" --initdb 2>/dev/null
rpmkeys --root "$root" -D "_dbpath $database" --import "$state/test.asc"

# Two layers, as real base images have them: the system, then one more package and a file that is taken away again.
install "$state/rpms/pebble-setup.rpm" # owners are looked up in the root's own passwd and group
install "$state"/rpms/pebble-{release,filesystem,busybox}.rpm
echo 'replaced by the second layer' >"$root/etc/motd.first"
/usr/bin/python3 "$here/layer.py" "$root" "$state/before.json" "$state/1.tar"
rm "$root/etc/motd.first"
install "$state"/rpms/pebble-greeting.rpm
/usr/bin/python3 "$here/layer.py" "$root" "$state/before.json" "$state/2.tar"

rm -rf "$here/oci" "$here/keys" "$here/keys-other"
mkdir -p "$here/keys" "$here/keys-other"
cp "$state/test.asc" "$here/keys/test.asc"
cp "$state/other.asc" "$here/keys-other/other.asc"
/usr/bin/python3 "$here/layout.py" "$here/oci" "$state/1.tar" "$state/2.tar"
rpm --root "$root" -D "_dbpath $database" -qa --qf '%{NEVRA} %{SIGMD5} %{RSAHEADER:pgpsig}\n' 2>/dev/null | LC_ALL=C sort >"$here/packages.txt"
du -sh "$here/oci" >&2
cat "$here/packages.txt" >&2
