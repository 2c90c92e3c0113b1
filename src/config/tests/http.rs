//! `[http]`: who may reach the page, and what is said about that.

use super::*;
use crate::config::model::{HTTP_LISTEN, Http};

fn bad(text: &str) -> String {
    load_str(text).unwrap_err().to_string()
}

fn http(keys: &str) -> String {
    format!("{GOOD}\n[http]\n{keys}\n")
}

#[test]
fn without_a_word_the_page_is_for_this_machine() {
    assert_eq!(good(GOOD).config.http, Http { enabled: true, listen: HTTP_LISTEN, token_file: None });
    assert!(good(&http("enabled = false")).config.http == Http { enabled: false, ..Http::default() });
}

#[test]
fn every_loopback_address_is_taken_without_a_token() {
    for listen in ["127.0.0.1:80", "127.8.9.1:9280", "[::1]:9280", "[::ffff:127.0.0.1]:9280"] {
        let loaded = good(&http(&format!("listen = \"{listen}\"")));
        assert!(!loaded.config.http.is_open_to_others(), "{listen}");
        assert!(!loaded.warnings.to_string().contains("page"), "{}", loaded.warnings);
    }
}

#[test]
fn an_address_for_others_needs_a_token_and_is_warned_about() {
    for listen in ["0.0.0.0:9280", "[::]:9280", "192.168.1.7:9280", "[fe80::1]:9280"] {
        let report = bad(&http(&format!("listen = \"{listen}\"")));
        assert!(report.contains("open to everybody") && report.contains("token_file"), "{report}");
        let loaded = good(&http(&format!("listen = \"{listen}\"\ntoken_file = \"/etc/tidegate/page.token\"")));
        assert!(loaded.warnings.to_string().contains("without encryption"), "{}", loaded.warnings);
        let off = good(&http(&format!("enabled = false\nlisten = \"{listen}\"")));
        assert!(!off.warnings.to_string().contains("encryption"), "nobody reaches a page that is off");
    }
}

#[test]
fn what_is_no_address_is_told_with_an_example() {
    for listen in ["localhost:9280", "9280", "127.0.0.1", "127.0.0.1:0", "::1:9280", "http://127.0.0.1:9280"] {
        let report = bad(&http(&format!("listen = \"{listen}\"")));
        assert!(report.contains("127.0.0.1:9280"), "{listen}: {report}");
    }
    let report = bad(&http("token_file = \"secret-itself\""));
    assert!(report.contains("path of a file") && !report.contains("secret-itself"), "{report}");
    assert!(bad(&http("port = 9280")).contains("did you mean `listen`?"));
}
