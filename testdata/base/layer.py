"""Writes what changed in a root since the last call as one layer tar: layer.py ROOT STATE.json OUT.tar"""

import hashlib
import json
import os
import stat
import sys
import tarfile

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])


def describe(path):
    """What makes a path differ from an earlier one; not its mtime, which the installation clock touches."""
    s = os.lstat(path)
    content = ""
    if stat.S_ISREG(s.st_mode):
        content = hashlib.sha256(open(path, "rb").read()).hexdigest()
    elif stat.S_ISLNK(s.st_mode):
        content = os.readlink(path)
    return [s.st_mode, s.st_uid, s.st_gid, content]


def walk(root):
    found = {}
    for folder, dirs, files in os.walk(root):
        for name in dirs + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = describe(path)
    return found


def header(path, name):
    s = os.lstat(path)
    t = tarfile.TarInfo(name)
    t.mode, t.uid, t.gid = stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid
    t.mtime = min(int(s.st_mtime), EPOCH)
    if stat.S_ISDIR(s.st_mode):
        t.type, t.name = tarfile.DIRTYPE, name + "/"
    elif stat.S_ISLNK(s.st_mode):
        t.type, t.linkname = tarfile.SYMTYPE, os.readlink(path)
    else:
        t.size = s.st_size
    return t


def main(root, state, out):
    before = json.load(open(state)) if os.path.exists(state) else {}
    now = walk(root)
    names = {n for n in now if before.get(n) != now[n]}
    gone = {n for n in before if n not in now and os.path.dirname(n) not in set(before) - set(now)}
    for name in list(names | gone):  # a layer names the folders that its entries lie in
        while name := os.path.dirname(name):
            names.add(name)
    entries = {n: None for n in names}
    entries.update({os.path.join(os.path.dirname(n), ".wh." + os.path.basename(n)): n for n in gone})
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(entries, key=lambda n: n.encode().split(b"/")):
            if entries[name]:
                t = tarfile.TarInfo(name)
                t.mtime = EPOCH
                tar.addfile(t)
                continue
            path = os.path.join(root, name)
            t = header(path, name)
            tar.addfile(t, open(path, "rb") if t.isreg() else None)
    json.dump(now, open(state, "w"))


main(*sys.argv[1:])
