"""Names that many builds have, from which others are told that are one letter off (docs/firewall.md)."""

_NAMES = """
actix-web ahash aho-corasick anstream anyhow arrayvec async-stream async-trait autocfg axum backtrace
base64 bincode bindgen bitflags block-buffer bstr bumpalo byteorder bytes cargo cc cfg-if chrono clap
clap_derive cmac colored criterion crossbeam crossbeam-channel crossbeam-utils crypto-common csv darling
dashmap derive_more diesel digest dirs either encoding_rs env_logger fastrand flate2 fnv futures
futures-util generic-array getrandom glob h2 half hashbrown heck hex hmac http hyper hyper-util
iana-time-zone idna image indexmap indicatif itertools itoa jobserver js-sys lazy_static libc libloading
linux-raw-sys lock_api log matchers memchr memmap memmap2 memoffset mime miniz_oxide mio nix nom
num-bigint num-integer num-traits num_cpus once_cell openssl openssl-sys parking_lot percent-encoding
petgraph phf pin-project pkg-config ppv-lite86 prettyplease proc-macro2 prost quick-error quick-xml quote
rand rand_chacha rand_core rayon rayon-core redox_syscall regex regex-automata regex-syntax reqwest ring
rocket rusqlite rustc-hash rustix rustls rustls-pemfile rustversion ryu same-file schannel scopeguard
semver serde serde_derive serde_json serde_urlencoded serde_yaml sha1 sha2 sha3 shlex signal-hook slab
smallvec socket2 sqlx static_assertions strsim structopt strum subtle syn syntect tar tempfile termcolor
textwrap thiserror thread_local time tiny-keccak tokio tokio-rustls tokio-stream tokio-util toml toml_edit
tonic tower tower-http tracing tracing-core tracing-log tracing-subscriber tungstenite typenum
unicode-ident unicode-segmentation unicode-width url uuid version_check walkdir wasm-bindgen web-sys
webpki winapi windows-sys windows-targets winnow zerocopy zeroize zip zstd
"""

POPULAR = frozenset(_NAMES.split())
