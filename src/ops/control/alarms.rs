//! The alarms' routes of the control socket: shown, acknowledged, shelved, suppressed.

use std::time::Duration;

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{Answer, Routes, ask};
use crate::clock::BootTime;
use crate::config::model::Severity;
use crate::config::pattern;
use crate::engine::AlarmView;
use crate::event::{AlarmState, ConditionKind, Limit};
use crate::ops::command::{AlarmCommand, Command};
use crate::reading::Value;

/// What is told to an alarm.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlarmRequest {
    /// The alarm's name.
    pub alarm: String,
    /// The sensor's name or a pattern of names.
    pub sensor: String,
    /// For shelving: for how long, seconds.
    #[serde(default)]
    pub for_seconds: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AlarmAnswer {
    /// Whether any alarm was changed by it.
    pub changed: bool,
}

/// One alarm on one sensor, as shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmLine {
    /// The alarm's name.
    pub alarm: String,
    /// The sensor's name.
    pub sensor: String,
    /// How urgent.
    pub severity: Severity,
    /// What it watches for; `None` from a gateway of an earlier version.
    #[serde(default)]
    pub condition: Option<ConditionKind>,
    /// Where it stands.
    pub state: AlarmState,
    /// While active: since when, RFC 3339.
    pub since: Option<String>,
    /// The last value.
    pub value: Option<Value>,
    /// Its unit.
    pub unit: Option<String>,
    /// The limit.
    pub limit: Limit,
    /// The value furthest beyond the limit.
    pub peak: Option<Value>,
    /// Somebody has acknowledged it.
    pub acknowledged: bool,
    /// Latched, its condition gone: becomes inactive when acknowledged.
    pub waits_for_acknowledgement: bool,
    /// Shelved for so many more seconds.
    pub shelved_s: Option<u64>,
    /// Out of force until somebody puts it back; false from a gateway that cannot suppress.
    #[serde(default)]
    pub suppressed: bool,
}

impl AlarmLine {
    /// From the engine's view.
    pub fn new(view: AlarmView, now: BootTime) -> Self {
        Self {
            alarm: view.alarm.to_string(),
            sensor: view.sensor.to_string(),
            severity: view.severity,
            condition: Some(view.condition),
            state: view.state,
            since: view.since.map(|since| since.to_string()),
            value: view.value,
            unit: view.unit.map(|unit| unit.to_string()),
            limit: view.limit,
            peak: view.peak,
            acknowledged: view.acknowledged,
            waits_for_acknowledgement: view.waits_for_acknowledgement,
            shelved_s: view.shelved_until.map(|until| until.since(now).as_secs()),
            suppressed: view.suppressed,
        }
    }
}

/// The routes.
pub(super) fn routes() -> Router<Routes> {
    Router::new()
        .route("/v1/alarms", get(alarms))
        .route("/v1/alarms/acknowledge", post(acknowledge))
        .route("/v1/alarms/shelve", post(shelve))
        .route("/v1/alarms/unshelve", post(unshelve))
        .route("/v1/alarms/suppress", post(suppress))
        .route("/v1/alarms/unsuppress", post(unsuppress))
}

async fn alarms(State(routes): State<Routes>) -> Answer<Vec<AlarmLine>> {
    let (reply, answer) = oneshot::channel();
    let Json(views) = ask(&routes, Command::Alarms(reply), answer).await?;
    let now = routes.clock.boot();
    Ok(Json(views.into_iter().map(|view| AlarmLine::new(view, now)).collect()))
}

async fn acknowledge(State(routes): State<Routes>, Json(request): Json<AlarmRequest>) -> Answer<AlarmAnswer> {
    tell(&routes, request, |_| Ok(AlarmCommand::Acknowledge)).await
}

async fn shelve(State(routes): State<Routes>, Json(request): Json<AlarmRequest>) -> Answer<AlarmAnswer> {
    tell(&routes, request, |request| {
        let seconds = request.for_seconds.ok_or("`for_seconds` is missing: how long to shelve")?;
        Ok(AlarmCommand::Shelve(Duration::from_secs(seconds)))
    })
    .await
}

async fn unshelve(State(routes): State<Routes>, Json(request): Json<AlarmRequest>) -> Answer<AlarmAnswer> {
    tell(&routes, request, |_| Ok(AlarmCommand::Unshelve)).await
}

async fn suppress(State(routes): State<Routes>, Json(request): Json<AlarmRequest>) -> Answer<AlarmAnswer> {
    tell(&routes, request, suppression).await
}

fn suppression(request: &AlarmRequest) -> Result<AlarmCommand, &'static str> {
    match request.for_seconds {
        None => Ok(AlarmCommand::Suppress),
        // Whoever gives a time expects it to end.
        Some(_) => Err("`for_seconds`: a suppressed alarm stays so until it is put back; shelve it for a time"),
    }
}

async fn unsuppress(State(routes): State<Routes>, Json(request): Json<AlarmRequest>) -> Answer<AlarmAnswer> {
    tell(&routes, request, |_| Ok(AlarmCommand::Unsuppress)).await
}

async fn tell(
    routes: &Routes,
    request: AlarmRequest,
    command: impl Fn(&AlarmRequest) -> Result<AlarmCommand, &'static str>,
) -> Answer<AlarmAnswer> {
    let command = command(&request).map_err(|what| (StatusCode::BAD_REQUEST, what.to_owned()))?;
    // One that is not well formed may match more than is meant.
    pattern::check(&request.sensor).map_err(|(_, why)| {
        (StatusCode::BAD_REQUEST, format!("`{}` is no sensor or pattern: {why}", request.sensor))
    })?;
    let (done, answer) = oneshot::channel();
    let command = Command::Alarm { alarm: request.alarm, sensor: request.sensor, command, done };
    let Json(changed) = ask(routes, command, answer).await?;
    Ok(Json(AlarmAnswer { changed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suppression_has_no_time() {
        let request = |for_seconds| AlarmRequest { alarm: "a".to_owned(), sensor: "s/d/q".to_owned(), for_seconds };
        assert_eq!(suppression(&request(None)), Ok(AlarmCommand::Suppress));
        assert!(suppression(&request(Some(60))).is_err_and(|why| why.contains("shelve")));
    }
}
