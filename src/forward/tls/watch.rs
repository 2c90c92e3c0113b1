//! Watching the ends of certificates while the connection stays up, so that nobody is surprised by the next one.
//!
//! Owns the task beside the forwarder: it reads the files again every hour and after each connection, keeps
//! [`Certificates`] and the gauge, and says once a day what is about to end. Never connects. [`changed`] tells when
//! somebody puts other files in place.

use std::convert::Infallible;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use super::expiry::{Certificate, Certificates};
use super::inspect::remarks;
use crate::clock::{BootTime, SystemClock, WallTime};
use crate::config::model::Credentials;
use crate::counters::Counters;

/// How often the files are read again, so that the status is right soon after somebody has replaced them.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// How often the same is said again.
const SAY_EVERY: Duration = Duration::from_secs(24 * 3600);

/// How often files are looked at while a connection waits for its next attempt.
const GLANCE_EVERY: Duration = Duration::from_secs(2);

/// Watches for ever.
pub async fn run(
    credentials: Credentials,
    seen: Certificates,
    counters: Arc<Counters>,
    clock: Arc<SystemClock>,
) -> Infallible {
    let mut saying = Saying::default();
    let mut clock_set = clock.changes();
    loop {
        let (files, its_clock) = (credentials.clone(), Arc::clone(&clock));
        let read = tokio::task::spawn_blocking(move || {
            let now = its_clock.wall().max(its_clock.earliest());
            (super::inspect::certificates(&files), remarks(&files), now)
        });
        if let Ok((files, remarks, now)) = read.await {
            seen.note_files(files);
            let certificates = seen.by_end();
            let end = certificates.first().map_or(0, |first| first.not_after.as_millis().max(0).unsigned_abs() / 1000);
            counters.certificate_expires_s.set(end);
            match saying.what(&certificates, remarks, now, clock.boot()) {
                Some((text, true)) => tracing::error!("{text}"),
                Some((text, false)) => tracing::warn!("{text}"),
                None => {}
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = seen.news() => {}
            // Whether something has expired is another question by another clock.
            changed = clock_set.changed() => {
                if changed.is_err() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
    }
}

/// What was said, and when.
#[derive(Debug, Default)]
struct Saying {
    /// The texts without the days that are left.
    key: Vec<String>,
    at: BootTime,
}

impl Saying {
    /// What is to be said now, and whether something has expired: at once what is new, the same once a day.
    fn what(
        &mut self,
        certificates: &[Certificate],
        remarks: Vec<String>,
        now: WallTime,
        boot: BootTime,
    ) -> Option<(String, bool)> {
        let noted: Vec<_> = certificates.iter().filter_map(|one| Some((one, one.notice(now)?))).collect();
        let expired = noted.iter().any(|(one, _)| one.is_expired(now));
        let state = |one: &Certificate| format!("{} {} {}", one.subject, one.not_after, one.is_expired(now));
        let key: Vec<String> = noted.iter().map(|(one, _)| state(one)).chain(remarks.iter().cloned()).collect();
        let texts: Vec<String> = noted.into_iter().map(|(_, text)| text).chain(remarks).collect();
        let is_new = key.iter().any(|one| !self.key.contains(one));
        if !is_new && (key.is_empty() || boot.since(self.at) < SAY_EVERY) {
            // What is repaired may be said again when it comes back.
            self.key = key;
            return None;
        }
        (self.key, self.at) = (key, boot);
        Some((texts.join("; "), expired))
    }
}

/// Returns when one of the files is replaced, made, removed or written. For the time between two attempts: whoever
/// repairs a file sees it work at once. Cancel-safe.
pub async fn changed(credentials: &Credentials) {
    let before = look(credentials);
    loop {
        tokio::time::sleep(GLANCE_EVERY).await;
        if look(credentials) != before {
            return;
        }
    }
}

/// Inode, length, time of the last change (seconds and nanoseconds), mode and owner.
type Look = (u64, u64, i64, i64, u32, u32);

/// What tells a file from its successor; `None` for one that cannot be looked at.
fn look(credentials: &Credentials) -> Vec<Option<Look>> {
    let Credentials { ca_file, cert_file, key_file, password_file, .. } = credentials;
    let files = [ca_file, cert_file, key_file, password_file].into_iter().flatten();
    files
        .map(|file| {
            let meta = std::fs::metadata(file).ok()?;
            Some((meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec(), meta.mode(), meta.uid()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail on the spot")]

    use super::super::expiry::Whose;
    use super::*;

    const DAY: i64 = 24 * 3600;

    fn certificate(whose: Whose, subject: &str, issuer: &str, end_days: i64) -> Certificate {
        Certificate {
            whose,
            file: (whose != Whose::Broker).then(|| "/etc/x.pem".into()),
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            not_before: WallTime::from_secs(0),
            not_after: WallTime::from_secs(end_days * DAY),
        }
    }

    fn day(day: i64) -> (WallTime, BootTime) {
        (WallTime::from_secs(day * DAY), BootTime(day as u64 * 24 * 3600 * 1_000_000_000))
    }

    #[test]
    fn an_end_is_told_thirty_days_ahead_once_a_day_and_as_an_error_when_it_has_come() {
        let ours = [certificate(Whose::Client, "CN=gw1", "CN=ca", 100)];
        let mut saying = Saying::default();
        let mut at = |days: i64, hours: i64| {
            let (wall, boot) = day(days);
            let later = Duration::from_secs(hours as u64 * 3600);
            saying.what(&ours, vec![], wall.offset(hours * 3600 * 1_000_000_000), boot.after(later))
        };
        assert_eq!(at(70, 0), None);
        let (text, expired) = at(71, 0).unwrap();
        assert!(text.contains("\"CN=gw1\" expires on 1970-04-11T00:00:00Z, in 29 days") && !expired, "{text}");
        assert_eq!(at(71, 12), None, "the same day");
        assert!(at(72, 0).unwrap().0.contains("in 28 days"));
        assert!(at(99, 0).unwrap().0.contains("in 1 day;"));
        assert_eq!(at(99, 23), None);
        let (text, expired) = at(100, 1).unwrap();
        assert!(text.contains("expired on") && text.contains("renew") && expired, "{text}");
        assert_eq!(at(100, 20), None);
        assert!(at(101, 2).is_some());
    }

    #[test]
    fn what_is_new_is_told_at_once() {
        let mut saying = Saying::default();
        let (wall, boot) = day(90);
        let one = certificate(Whose::Client, "CN=gw1", "CN=ca", 100);
        assert!(saying.what(std::slice::from_ref(&one), vec![], wall, boot).is_some());
        let both = [one, certificate(Whose::Broker, "CN=broker", "CN=ca", 91)];
        let (text, _) = saying.what(&both, vec![], wall, boot).unwrap();
        assert!(text.contains("the broker's certificate \"CN=broker\" expires") && text.contains("at the broker"));
        assert_eq!(saying.what(&both, vec![], wall, boot), None);
        assert!(saying.what(&both, vec!["a remark".to_owned()], wall, boot).unwrap().0.ends_with("; a remark"));
        assert_eq!(saying.what(&[], vec![], wall, boot), None);
    }

    #[test]
    fn only_cas_that_matter_count_and_an_old_one_beside_its_successor_does_not() {
        let seen = Certificates::default();
        let old = certificate(Whose::Ca, "CN=ca", "CN=ca", 10);
        let new = certificate(Whose::Ca, "CN=ca", "CN=ca", 1000);
        let other = certificate(Whose::Ca, "CN=other", "CN=other", 20);
        seen.note_files(vec![old, new.clone(), other.clone()]);
        assert_eq!(seen.by_end(), [other, new.clone()]);
        let shown = certificate(Whose::Broker, "CN=broker", "CN=ca", 50);
        seen.note_broker(vec![shown.clone()]);
        assert_eq!(seen.by_end(), [shown, new], "the other has signed nothing");
        let bundle = (0..100).map(|n| certificate(Whose::Ca, &format!("CN={n}"), "CN=root", n)).collect();
        seen.note_files(bundle);
        assert_eq!(seen.by_end().len(), 1, "of a bundle's makers nothing is told");
    }

    async fn futures_are_pending(future: &mut std::pin::Pin<Box<impl Future<Output = ()>>>) -> bool {
        tokio::select! {
            biased;
            () = future => false,
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let credentials = Credentials { ca_file: Some(file.clone()), ..Credentials::default() };
        let mut changed = Box::pin(super::changed(&credentials));
        // The first look is taken at the first poll.
        assert!(futures_are_pending(&mut changed).await);
        std::fs::write(file, "x").unwrap();
        tokio::time::timeout(Duration::from_secs(60), changed).await.unwrap();
    }
}
