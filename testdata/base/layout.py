"""Writes an OCI image layout from layer tars: layout.py DIR LAYER.tar..."""

import datetime
import gzip
import hashlib
import json
import os
import sys

EPOCH = int(os.environ["SOURCE_DATE_EPOCH"])
CREATED = datetime.datetime.fromtimestamp(EPOCH, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
LABELS = {
    "name": "pebble",
    "version": "42",
    "release": "1",
    "vendor": "Pebble",
    "architecture": "x86_64",
    "com.redhat.component": "pebble-container",
    "license": "GPL-2.0-only AND MIT",
    "summary": "A small signed base image for tests",
}


def put(folder, content):
    digest = hashlib.sha256(content).hexdigest()
    with open(f"{folder}/blobs/sha256/{digest}", "wb") as f:
        f.write(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def put_json(folder, value):
    return put(folder, json.dumps(value, separators=(",", ":")).encode())


def main(folder, *tars):
    os.makedirs(f"{folder}/blobs/sha256")
    layers, diff_ids = [], []
    for path in tars:
        tar = open(path, "rb").read()
        diff_ids.append("sha256:" + hashlib.sha256(tar).hexdigest())
        blob = put(folder, gzip.compress(tar, 9, mtime=0))
        layers.append({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", **blob})
    config = {
        "created": CREATED,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "container=oci"],
            "Cmd": ["/bin/sh"],
            "Labels": LABELS,
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [
            {"created": CREATED, "created_by": "pebble-setup pebble-release pebble-filesystem pebble-busybox"},
            {"created": CREATED, "created_by": "pebble-greeting"},
        ],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **put_json(folder, config)},
        "layers": layers,
    }
    descriptor = {
        "mediaType": manifest["mediaType"],
        **put_json(folder, manifest),
        "annotations": {"org.opencontainers.image.ref.name": "42"},
        "platform": {"architecture": "amd64", "os": "linux"},
    }
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [descriptor]}
    for name, value in (("index.json", index), ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(f"{folder}/{name}", "w") as f:
            json.dump(value, f, separators=(",", ":"))


main(*sys.argv[1:])
