//! Numbers of the header tags this program reads (rpm, `include/rpm/rpmtag.h`).
//!
//! Only numbers and the two lists that decide trust: which tags rpm itself adds to a stored header
//! after it was signed, and which tags show that a header is a real package.

/// The immutable region: an entry of this number comes first and spans the signed entries.
pub const HEADER_IMMUTABLE: u32 = 63;
/// The first number a tag other than a region may have.
pub const FIRST_ORDINARY: u32 = 100;

/// Obsolete RSA signature over header and payload, copied from the package's signature header.
pub const SIG_PGP: u32 = 259;
/// MD5 of header and payload, by which a build's file is known; unsigned.
pub const SIG_MD5: u32 = 261;
/// Obsolete DSA or EdDSA signature over header and payload.
pub const SIG_GPG: u32 = 262;
/// Header signature of a DSA, ECDSA or EdDSA key.
pub const DSA_HEADER: u32 = 267;
/// Header signature of an RSA key.
pub const RSA_HEADER: u32 = 268;
/// Hexadecimal SHA-1 of the signed bytes.
pub const SHA1_HEADER: u32 = 269;
/// Hexadecimal SHA-256 of the signed bytes.
pub const SHA256_HEADER: u32 = 273;
/// Header signatures of any algorithm, an array of base64 strings (rpm 6).
pub const OPENPGP: u32 = 278;
/// Hexadecimal SHA3-256 of the signed bytes (rpm 6).
pub const SHA3_256_HEADER: u32 = 279;

/// Package name.
pub const NAME: u32 = 1000;
/// Package version.
pub const VERSION: u32 = 1001;
/// Package release.
pub const RELEASE: u32 = 1002;
/// Package epoch.
pub const EPOCH: u32 = 1003;
/// Description; the armoured key of a `gpg-pubkey` row.
pub const DESCRIPTION: u32 = 1005;
/// When the package was built, seconds since 1970.
pub const BUILD_TIME: u32 = 1006;
/// When the package was installed, seconds since 1970; unsigned.
pub const INSTALL_TIME: u32 = 1008;
/// Installed size in bytes, 32 bits.
pub const SIZE: u32 = 1009;
/// Vendor.
pub const VENDOR: u32 = 1011;
/// Licence.
pub const LICENSE: u32 = 1014;
/// Architecture.
pub const ARCH: u32 = 1022;
/// File name of the source package.
pub const SOURCE_RPM: u32 = 1044;
/// Installed size in bytes, 64 bits, used by packages of 4 GiB and more.
pub const LONG_SIZE: u32 = 5009;

/// Tags rpm adds to a stored header at installation.
///
/// Sizes, signatures and digests merged from the package's signature header (257–279 where given),
/// install time, file states, archive size, install prefixes and colour, transaction, file signatures,
/// package digests (rpm 6). Confirmed on 167 real rows; the others are in rpm's sources.
pub const DRIBBLES: [u32; 26] = [
    257, 259, 261, 262, 267, 268, 269, 270, 271, 273, 274, 275, 276, 277, 278, 279, 1008, 1029, 1046, 1099, 1127, 1128,
    5090, 5091, 5118, 5119,
];

/// Tags of which any one shows a package that installs or runs something.
///
/// Files (old and new names, sizes, modes, digests, states), payload and its digests, scriptlets,
/// triggers, and signatures over any of it. A key that rpm imported has none of them.
pub const OF_REAL_PACKAGES: [u32; 41] = [
    259, 262, 267, 268, 278, 1023, 1024, 1025, 1026, 1027, 1028, 1029, 1030, 1035, 1065, 1066, 1079, 1085, 1086, 1087,
    1088, 1116, 1117, 1118, 1119, 1124, 1125, 1126, 1151, 1152, 5008, 5066, 5069, 5076, 5092, 5093, 5097, 5103, 5104,
    5121, 5123,
];
