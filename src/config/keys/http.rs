//! The keys of `[http]`.

use super::{KeyTable, optional, with_default};

/// `[http]`
pub static HTTP: KeyTable = KeyTable {
    title: "[http]",
    noun: "[http]",
    selector: "",
    meaning: "The local page, for a browser: how it all stands, live and read-only. A port that is taken is told and \
              tried again; it stops nothing.",
    keys: &[
        with_default("enabled", "true or false", "true", "Whether there is a page at all.")
            .near(&["enable", "on", "active", "page"]),
        with_default(
            "listen",
            "IP address and port",
            "\"127.0.0.1:9280\"",
            "Where it is served. Any other than a loopback address needs `token_file`; there is no TLS.",
        )
        .near(&["address", "bind", "port", "host", "addr"]),
        optional(
            "token_file",
            "path",
            "whoever reaches the address may read",
            "File that holds what a reader must know, on one line: 16 to 512 letters, digits and `-._~+/=`. Asked for \
             on the page, or taken as `Authorization: Bearer`. Refused when others can read the file.",
        )
        .near(&["token", "password", "password_file", "secret", "key"]),
    ],
};
