//! What a reader of the page must know, where that is asked for.
//!
//! Owns the file's rules and the comparison, which takes the same time whatever is wrong. Never shows the token.

use std::fmt;
use std::path::Path;

use subtle::ConstantTimeEq as _;

use crate::forward::tls::{self, TlsError};

/// Shortest and longest token, bytes. 16 letters and digits at random are 95 bits, beyond guessing.
const BYTES: std::ops::RangeInclusive<usize> = 16..=512;

/// A token.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// Reads a `token_file`.
    ///
    /// # Errors
    ///
    /// A file that is missing, open to others, or holds no token.
    pub fn read(file: &Path) -> Result<Self, TlsError> {
        let bytes = tls::secret(file)?;
        let wrong =
            |found: &str, help: &str| TlsError { file: Some(file.to_owned()), found: found.into(), help: help.into() };
        let make = format!("make one: umask 077; head -c 24 /dev/urandom | base64 > {}", file.display());
        let text = String::from_utf8(bytes).map_err(|_| wrong("the token is no text", &make))?;
        Self::new(text.trim_end_matches(['\r', '\n'])).map_err(|found| wrong(&found, &make))
    }

    /// Takes a text as token.
    ///
    /// # Errors
    ///
    /// In words.
    pub fn new(text: &str) -> Result<Self, String> {
        // Nothing that a cookie or a header would have to escape.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !text.bytes().all(is_plain) {
            return Err("the token has other characters than letters, digits and `-._~+/=`".to_owned());
        }
        if !BYTES.contains(&text.len()) {
            return Err(format!(
                "the token has {} characters; expected {} to {}",
                text.len(),
                BYTES.start(),
                BYTES.end()
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether somebody knows it.
    pub fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// As the value of a cookie.
    pub(super) fn cookie_value(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const GOOD: &str = "Zm9vYmFyYmF6cXV4+/==";

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token::new(GOOD).unwrap();
        assert!(token.is(GOOD));
        for wrong in ["", "Z", &GOOD[..GOOD.len() - 1], &format!("{GOOD}="), &GOOD.to_lowercase()] {
            assert!(!token.is(wrong), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token(..)", "it is not shown in logs");
    }

    #[test]
    fn what_is_short_or_would_not_fit_a_cookie_is_refused() {
        for wrong in
            ["", "short", "with a blank in it", "semicolon;semicolon", "quote\"quote\"quote", "ümlaut-ümlaut-ümlaut"]
        {
            assert!(Token::new(wrong).is_err(), "{wrong}");
        }
        assert!(Token::new(&"x".repeat(513)).is_err());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, format!("{GOOD}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(Token::read(&file).unwrap_err().help.contains("chmod 600"));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Token::read(&file).unwrap().is(GOOD));
        std::fs::write(&file, "").unwrap();
        assert!(Token::read(&file).unwrap_err().help.contains("urandom"));
    }
}
