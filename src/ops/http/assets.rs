//! The page's files, in the binary.
//!
//! Owns their paths and types. No build step: what is in `page/` is what the browser gets.

use axum::Router;
use axum::http::header;
use axum::routing::{MethodRouter, get};

use super::Page;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// Path, type and content.
const ASSETS: [(&str, &str, &str); 12] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/style.css", CSS, include_str!("page/style.css")),
    ("/sensors.css", CSS, include_str!("page/sensors.css")),
    ("/icon.svg", SVG, include_str!("page/icon.svg")),
    ("/js/app.js", SCRIPT, include_str!("page/app.js")),
    ("/js/stream.js", SCRIPT, include_str!("page/stream.js")),
    ("/js/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/js/words.js", SCRIPT, include_str!("page/words.js")),
    ("/js/cards.js", SCRIPT, include_str!("page/cards.js")),
    ("/js/lists.js", SCRIPT, include_str!("page/lists.js")),
    ("/js/sensors.js", SCRIPT, include_str!("page/sensors.js")),
    ("/js/sparkline.js", SCRIPT, include_str!("page/sparkline.js")),
];

/// The routes.
pub(super) fn routes() -> Router<Page> {
    ASSETS.into_iter().fold(Router::new(), |router, (path, kind, text)| router.route(path, file(kind, text)))
}

fn file(kind: &'static str, text: &'static str) -> MethodRouter<Page> {
    get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of the page, compressed.
    const COMPRESSED_BYTES_MAX: usize = 100_000;

    #[test]
    fn the_page_is_small() {
        let login = include_str!("page/login.html");
        let texts = ASSETS.iter().map(|(_, _, text)| *text).chain([login]);
        let compressed: usize =
            texts.map(|text| zstd::bulk::compress(text.as_bytes(), 9).map_or(0, |all| all.len())).sum();
        assert!((1..COMPRESSED_BYTES_MAX).contains(&compressed), "{compressed} bytes");
    }

    #[test]
    fn the_page_asks_no_other_host_and_has_nothing_inline_and_makes_no_markup_of_text() {
        for (path, kind, text) in ASSETS {
            for word in ["https://", "//cdn", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
            {
                assert!(!text.contains(word), "{path} has {word}");
            }
            // The name of the SVG language looks like an address.
            let addresses = text.matches("http://").count() - text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(addresses, 0, "{path}");
            if kind == HTML {
                for word in [" style=", " onclick=", " onload=", "<style", "<script>"] {
                    assert!(!text.contains(word), "{path} has {word}");
                }
            }
        }
    }

    #[test]
    fn everything_that_the_page_names_is_there() {
        let named = ASSETS.iter().flat_map(|(_, _, text)| text.split(['"', '\'']));
        let files = named.filter(|word| word.starts_with("/js/") || word.starts_with("./") || word.ends_with(".css"));
        for file in files {
            let path = file.replacen("./", "/js/", 1);
            assert!(ASSETS.iter().any(|(there, _, _)| **there == path), "{file}");
        }
    }
}
