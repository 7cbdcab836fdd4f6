//! Blobs, unpacked layers and stages on local disk.
