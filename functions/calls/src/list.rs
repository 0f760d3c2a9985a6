//! Reading calls.

use std::sync::Arc;

use access::{Caller, Fail, Params, Path};
use axum::{Json, extract::State};
use events::{Timestamp, keys};
use platform::store::{MAX_PAGE, Page};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    Shared, cursor, locate,
    view::{self, CallView},
};

const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 100;

/// Which calls.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// The day on which the room was made, in UTC: `YYYY-MM-DD`. Default: today.
    #[param(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    day: Option<String>,
    /// 1 to 100, default 20. A page may have fewer: what is another caller's is left out.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A page of calls, in the order of their ids.
#[derive(Serialize, ToSchema)]
pub(crate) struct CallPage {
    calls: Vec<CallView>,
    /// For `cursor`, of this caller and this day; none on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The calls of a day.
#[utoipa::path(get, path = "/v1/calls", tag = "calls", params(Which), security(("bearer" = ["calls:read"])),
    responses(
        (status = 200, description = "A page", body = CallPage),
        (status = 400, description = "A parameter is wrong"),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
    ))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Params(which): Params<Which>,
) -> Result<Json<CallPage>, Fail> {
    let prefix = day(&shared, which.day.as_deref())?;
    let limit = which.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Fail::invalid(
            "limit",
            "it is out of bounds",
            "set it to 1 to 100",
        ));
    }
    let of = (caller.name.as_str(), prefix.as_str());
    let last = which
        .cursor
        .map(|cursor| opened(&shared, &cursor, of))
        .transpose()?;
    let (ids, more) = ids(&shared, &prefix, last, limit).await?;
    let next = ids.last().filter(|_| more);
    let next = next.and_then(|last| shared.state.cursors.seal(last, of));
    let mut calls = Vec::with_capacity(ids.len());
    for id in &ids {
        match locate::call(&shared, &caller, id).await {
            Ok(call) => calls.push(view::of(&*shared.state.store, &call).await?),
            Err(fail) if fail.problem().status == 404 => {}
            Err(fail) => return Err(fail),
        }
    }
    Ok(Json(CallPage { calls, next }))
}

/// One call.
#[utoipa::path(get, path = "/v1/calls/{call}", tag = "calls", params(("call" = String, Path, description = "`RM_…`")),
    security(("bearer" = ["calls:read"])),
    responses(
        (status = 200, description = "The call", body = CallView),
        (status = 401, description = "No key or token, or a wrong one"),
        (status = 403, description = "The scope is missing"),
        (status = 404, description = "No such call, or another caller's"),
    ))]
pub(crate) async fn read(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<CallView>, Fail> {
    let call = locate::call(&shared, &caller, &id).await?;
    view::of(&*shared.state.store, &call).await.map(Json)
}

fn day(shared: &Shared, wanted: Option<&str>) -> Result<String, Fail> {
    let now = Timestamp::from(shared.state.clock.now());
    let Some(day) = wanted else {
        return Ok(keys::day(now));
    };
    let at = Timestamp::parse(&format!("{day}T00:00:00Z")).filter(|at| at.day() == day);
    at.map(keys::day)
        .ok_or_else(|| Fail::invalid("day", "it is no day", "write it like 2026-11-20"))
}

/// Behind which call the page begins that `cursor` stands for.
fn opened(shared: &Shared, cursor: &str, of: cursor::For<'_>) -> Result<String, Fail> {
    let id = shared.state.cursors.open(cursor, of);
    id.ok_or_else(|| {
        Fail::invalid(
            "cursor",
            "it is no cursor of this caller and day",
            "pass on `next` of the page before",
        )
    })
}

/// The last key that a call can have: every object of it has a name before this one.
fn behind(prefix: &str, id: &str) -> String {
    format!("{prefix}{id}/zzzz")
}

/// The ids of the next calls behind `last`, and whether there are more.
async fn ids(
    shared: &Shared,
    prefix: &str,
    last: Option<String>,
    limit: usize,
) -> Result<(Vec<String>, bool), Fail> {
    let mut ids: Vec<String> = Vec::new();
    let mut after = last.map(|last| behind(prefix, &last));
    // Each round finds an id or is the last: what is left of a call is passed over.
    loop {
        let page = Page {
            after: after.clone(),
            limit: MAX_PAGE,
        };
        let listing = shared.state.store.list(prefix, page).await?;
        for entry in &listing.entries {
            let id = entry
                .key
                .strip_prefix(prefix)
                .and_then(|rest| rest.split('/').next());
            let Some(id) = id.filter(|id| ids.last().is_none_or(|last| last != id)) else {
                continue;
            };
            if ids.len() == limit {
                return Ok((ids, true));
            }
            ids.push(id.to_owned());
        }
        after = match (listing.next, ids.last()) {
            (Some(_), Some(last)) => Some(behind(prefix, last)),
            (next, _) => next,
        };
        if after.is_none() {
            return Ok((ids, false));
        }
    }
}
