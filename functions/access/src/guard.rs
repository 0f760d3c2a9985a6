//! The check before every handler.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode};
use platform::config::Scope;
use utoipa::openapi::{
    Response as OpenApiResponse,
    path::{Operation, Paths},
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::router::UtoipaMethodRouter;

use crate::{Access, Caller, Fail, Outcome, Refusal, RequestId};

/// What the OpenAPI document calls the way to show a key or token.
pub const BEARER: &str = "bearer";

/// The description of [`BEARER`] for an OpenAPI document.
pub fn bearer_scheme() -> SecurityScheme {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A key of `access.keys`, or a token of the identity provider of `access.jwt`.",
        ))
        .build();
    SecurityScheme::Http(bearer)
}

/// Lets only those to the route who have the scope that its OpenAPI description names, and describes what may be answered before the
/// handler is asked.
pub fn guard<S: Clone + Send + Sync + 'static>(
    access: &Access,
    (schemas, mut paths, router): UtoipaMethodRouter<S>,
) -> UtoipaMethodRouter<S> {
    let gate = Gate {
        access: access.clone(),
        path: paths.paths.keys().next().cloned().unwrap_or_default(),
        rules: rules(&paths),
    };
    for item in paths.paths.values_mut() {
        let methods = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        methods
            .into_iter()
            .flatten()
            .for_each(|operation| describe(operation, &gate.path));
    }
    let router = router.route_layer(from_fn_with_state(Arc::new(gate), check));
    (schemas, paths, router)
}

/// Where no LiveKit is asked.
const WITHOUT_LIVEKIT: [&str; 2] = ["/v1/token", "/health"];

/// What the guard, [`Body`](crate::Body) and [`Fail`] answer on every route.
fn describe(operation: &mut Operation, path: &str) {
    let of_body = [
        ("408", "The body did not arrive in time"),
        ("413", "The body is too large"),
        ("415", "The body is not said to be JSON"),
    ];
    let of_body = of_body.into_iter().filter(|_| operation.request_body.is_some());
    let of_livekit = [
        (
            "502",
            "LiveKit refuses this program's key, or answers what cannot be read",
        ),
        (
            "504",
            "LiveKit did not answer in time, or failed in between: what was asked may have been done",
        ),
    ];
    let of_livekit = of_livekit
        .into_iter()
        .filter(|_| !WITHOUT_LIVEKIT.contains(&path));
    let of_all = [
        ("429", "Too many requests"),
        (
            "503",
            "LiveKit, the store or the identity provider cannot do it now",
        ),
    ];
    let answers = of_body.chain(of_livekit).chain(of_all);
    for (status, description) in answers {
        let answers = &mut operation.responses.responses;
        answers
            .entry(status.to_owned())
            .or_insert_with(|| OpenApiResponse::new(description).into());
    }
}

struct Gate {
    access: Access,
    path: String,
    rules: BTreeMap<&'static str, Scope>,
}

fn rules(paths: &Paths) -> BTreeMap<&'static str, Scope> {
    let operations = paths.paths.values().flat_map(|item| {
        [
            ("GET", &item.get),
            ("POST", &item.post),
            ("PUT", &item.put),
            ("PATCH", &item.patch),
            ("DELETE", &item.delete),
        ]
    });
    operations
        .filter_map(|(method, operation)| Some((method, scope(operation.as_ref()?)?)))
        .collect()
}

/// The one scope of the one requirement; none when there are several, so that a slip closes the route.
fn scope(operation: &Operation) -> Option<Scope> {
    let security = serde_json::to_value(operation.security.as_ref()?).ok()?;
    let [requirement] = security.as_array()?.as_slice() else {
        return None;
    };
    let [scope] = requirement.get(BEARER)?.as_array()?.as_slice() else {
        return None;
    };
    scope.as_str()?.parse().ok()
}

async fn check(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let id = request
        .extensions()
        .get::<RequestId>()
        .cloned()
        .unwrap_or_default();
    let line = Line {
        path: &gate.path,
        method: &method,
        id: &id,
    };
    let caller = match gate.admit(&method, request.headers()).await {
        Ok(caller) => caller,
        Err(refusal) => {
            line.refused(refusal.caller().unwrap_or_default(), refusal.reason(), None);
            return Fail::from(refusal).into_response();
        }
    };
    let name = caller.name.clone();
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    line.answered(&name, &response);
    response
}

impl Gate {
    async fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let caller = self.access.caller(headers).await?;
        let method = if method == Method::HEAD {
            "GET"
        } else {
            method.as_str()
        };
        match self.rules.get(method) {
            Some(scope) if caller.may(*scope) => Ok(caller),
            Some(scope) => Err(Refusal::Scope {
                scope: *scope,
                caller: caller.name,
            }),
            None => Err(Refusal::NoRule { caller: caller.name }),
        }
    }
}

/// What is logged of a request: never its path with the names in it, never its body.
struct Line<'a> {
    path: &'a str,
    method: &'a Method,
    id: &'a RequestId,
}

impl Line<'_> {
    fn answered(&self, caller: &str, response: &Response) {
        let status = response.status();
        let Self { path, method, id } = self;
        let request_id = id.as_str();
        let Some(Outcome { reason, cause }) = response.extensions().get::<Outcome>() else {
            tracing::info!(caller, route = path, %method, request_id, status = status.as_u16(), "request");
            return;
        };
        match status {
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::TOO_MANY_REQUESTS => self.refused(caller, reason, cause.as_deref()),
            _ => {
                let cause = cause.as_deref();
                let status = status.as_u16();
                if status >= 500 {
                    tracing::warn!(caller, route = path, %method, request_id, status, reason, cause, "request failed");
                } else {
                    tracing::info!(caller, route = path, %method, request_id, status, reason, cause, "request");
                }
            }
        }
    }

    /// The audit line.
    fn refused(&self, caller: &str, reason: &str, cause: Option<&str>) {
        let Self { path, method, id } = self;
        let request_id = id.as_str();
        tracing::warn!(caller, route = path, %method, request_id, reason, cause, "access refused");
    }
}
