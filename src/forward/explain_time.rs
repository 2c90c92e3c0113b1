//! Certificates that are not valid at the time it is here: whose fault that is, and what happens next.
//!
//! Owns the words for the one TLS failure that repairs itself. Pure.

use std::io;

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use super::explain::Explanation;
use super::link::Fault;
use crate::clock::{ClockView, WallTime};

/// Explains a connection that failed because of the time; `None` for any other failure.
pub fn time_of_fault(fault: &Fault, clock: &ClockView, wall: WallTime) -> Option<Explanation> {
    match fault {
        Fault::Io(error) => time_of_io(error, clock, wall),
        _ => None,
    }
}

/// The same for a handshake of our own.
pub fn time_of_io(error: &io::Error, clock: &ClockView, wall: WallTime) -> Option<Explanation> {
    time_of_tls(error.get_ref()?.downcast_ref()?, clock, wall)
}

fn time_of_tls(error: &rustls::Error, clock: &ClockView, wall: WallTime) -> Option<Explanation> {
    let rustls::Error::InvalidCertificate(error) = error else { return None };
    let wall = to_the_second(wall);
    match (error, clock.by) {
        // A clock that somebody has set is believed: then the certificate is to blame.
        (CertificateError::NotValidYetContext { not_before, .. }, Some(by)) => {
            let key = format!("the broker's certificate is valid from {} on", stamp(*not_before));
            let by = by.as_str();
            let text = format!(
                "{key}, and it is {wall} now by a clock that was set ({by}); was it made on a machine with a wrong clock? \
                 then have it issued again"
            );
            Some(Explanation { text, key })
        }
        (CertificateError::NotValidYetContext { not_before, .. }, None) => {
            let key = format!("the broker's certificate is valid from {} on", stamp(*not_before));
            let text = format!(
                "{key}, but this gateway's clock says {wall}, and no time service has set it yet; waiting for the clock \
                 to be set, it then goes on by itself (is a time server reachable?)"
            );
            Some(Explanation { text, key })
        }
        (CertificateError::ExpiredContext { not_after, .. }, None) => {
            let key = format!("the broker's certificate expired on {}", stamp(*not_after));
            let text = format!(
                "{key} by this gateway's clock, which says {wall}, but no time service has set it; if that is right, \
                 renew the certificate, else it goes on by itself when the clock is set (is a time server reachable?)"
            );
            Some(Explanation { text, key })
        }
        _ => None,
    }
}

fn stamp(time: UnixTime) -> WallTime {
    WallTime::from_secs(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}

fn to_the_second(time: WallTime) -> WallTime {
    WallTime(time.0 - time.0.rem_euclid(1_000_000_000))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use std::time::Duration;

    use super::*;
    use crate::clock::Witness;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn error(error: CertificateError) -> Fault {
        Fault::Io(io::Error::other(rustls::Error::InvalidCertificate(error)))
    }

    #[test]
    fn a_certificate_that_is_not_valid_yet_waits_for_the_time_and_says_so() {
        let error =
            error(CertificateError::NotValidYetContext { time: at(1_782_864_000), not_before: at(1_800_000_000) });
        let told = time_of_fault(&error, &ClockView::default(), WallTime(77_123_456_000)).unwrap();
        for words in
            ["valid from 2027-01-15T08:00:00Z", "says 1970-01-01T00:01:17Z", "goes on by itself", "time server"]
        {
            assert!(told.text.contains(words), "{} does not say {words}", told.text);
        }
        let later = time_of_fault(&error, &ClockView::default(), WallTime(99_000_000_000)).unwrap();
        assert_eq!(told.key, later.key, "the same fault, told once");
    }

    #[test]
    fn a_clock_that_was_set_is_believed_and_other_faults_are_not_explained_here() {
        let set = ClockView { by: Some(Witness::Chrony), ..ClockView::default() };
        let early = error(CertificateError::NotValidYetContext { time: at(1), not_before: at(2) });
        let told = time_of_fault(&early, &set, WallTime(0)).unwrap();
        assert!(told.text.contains("issued again") && !told.text.contains("waiting"), "{}", told.text);
        let late = error(CertificateError::ExpiredContext { time: at(3), not_after: at(2) });
        assert_eq!(time_of_fault(&late, &set, WallTime(0)), None, "told in the general words");
        let doubtful = time_of_fault(&late, &ClockView::default(), WallTime(3_000_000_000)).unwrap();
        assert!(doubtful.text.contains("1970-01-01T00:00:03Z") && doubtful.text.contains("by itself"));
        let unknown = error(CertificateError::UnknownIssuer);
        assert_eq!(time_of_fault(&unknown, &ClockView::default(), WallTime(0)), None);
        assert_eq!(time_of_fault(&Fault::Closed, &ClockView::default(), WallTime(0)), None);
    }
}
