//! RPM data: headers, installed-package databases, signatures, repository files.
