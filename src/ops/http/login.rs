//! Logging in: a form for people whose browser cannot send a header.
//!
//! Owns the form's answer. The token goes into a cookie that scripts cannot read.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::Page;

/// The form; `<!--wrong-->` is where it says that the token was wrong.
const FORM: &str = include_str!("page/login.html");

/// How long a wrong token takes. Guessing is beyond hope anyway; this keeps it from costing us anything.
const WRONG_TAKES: Duration = Duration::from_secs(1);

/// The form, with a word on what was wrong.
pub fn page(status: StatusCode, wrong: &str) -> Response {
    // Without a referrer a browser sends no origin with a form either, and we could not tell ours from another's.
    let referrer = [(header::REFERRER_POLICY, "same-origin")];
    (status, referrer, Html(FORM.replace("<!--wrong-->", wrong))).into_response()
}

/// Takes the form.
pub async fn login(State(page): State<Page>, body: String) -> Response {
    let home = (header::LOCATION, "/".to_owned());
    let Some(token) = page.guard.token() else { return (StatusCode::SEE_OTHER, [home]).into_response() };
    if field(&body, "token").is_some_and(|given| token.is(given.trim())) {
        let known = (header::SET_COOKIE, page.guard.set_cookie(token));
        return (StatusCode::SEE_OTHER, [home, known]).into_response();
    }
    tokio::time::sleep(WRONG_TAKES).await;
    tracing::warn!("a wrong token was given to the local page");
    self::page(StatusCode::UNAUTHORIZED, "This is not the token. It is in the file that `token_file` names.")
}

/// A field of a form (application/x-www-form-urlencoded). What is not ASCII is no token, so it may come out as it likes.
fn field(body: &str, name: &str) -> Option<String> {
    let (_, value) = body.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?;
    let mut text = String::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'+' => ' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                char::from(digit()? << 4 | digit()?)
            }
            _ => char::from(byte),
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_a_form_is_read() {
        assert_eq!(field("a=1&token=ab%2Bc%2f%3D+&b=2", "token").as_deref(), Some("ab+c/= "));
        assert_eq!(field("token=", "token").as_deref(), Some(""));
        for broken in ["", "token", "token=%", "token=%4", "token=%zz", "xtoken=1"] {
            assert_eq!(field(broken, "token"), None, "{broken}");
        }
    }

    #[test]
    fn the_form_has_a_place_for_what_was_wrong() {
        assert!(FORM.contains("<!--wrong-->") && FORM.contains("action=\"/login\""));
    }
}
