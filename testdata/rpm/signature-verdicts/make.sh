#!/bin/bash
# Makes in.rpmdb.sqlite and the keys here from the made-up distribution beside the repository
# (../shared/distro, see its README). Usage: make.sh STATE   (its state folder, after `make.sh all`)
# One row for each way a package can be signed, as librpm stores it at installation.
set -euo pipefail
shopt -s nullglob
state=$(cd "$1" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
export SOURCE_DATE_EPOCH=1735689600 LC_ALL=C.UTF-8 TZ=UTC
rpm=(rpm --root "$root" -D '_dbpath /db' -D '_pkgverify_level none')
"${rpm[@]}" --initdb
rpmkeys --root "$root" -D '_dbpath /db' --import "$state/keys/second.asc"
"${rpm[@]}" --justdb --nodeps --noscripts --nosignature -i \
  "$state"/www/42/{os,extra,unsigned}/x86_64/{sig-,nosig-,epochal-}*.rpm
# Only the table of packages, written in one go: rpm's indexes would be most of the file.
python3 - "$root/db/rpmdb.sqlite" "$here/in.rpmdb.sqlite" <<'P'
import os, sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute("select hnum, blob from Packages order by hnum").fetchall()
if os.path.exists(sys.argv[2]): os.unlink(sys.argv[2])
out = sqlite3.connect(sys.argv[2])
out.execute("CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)")
out.executemany("insert into Packages values (?,?)", rows)
out.commit(); out.execute("vacuum"); out.close()
P
for key in release second subkey expired revoked revoked-after; do cp "$state/keys/$key.asc" "$here/"; done
