//! The router's answer, or what stands in for it.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use futures_util::FutureExt;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use http_body::{Frame, SizeHint};
use hyper::{body::Incoming, service::Service};
use platform::{lifecycle::Lifecycle, problem::Problem};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::{door::Seat, pulse::Pulse};

/// What every answer says unless its handler says otherwise: it is for its asker alone, is what it says it is, and is no page.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// Answers the requests of one connection.
pub(crate) struct Answers {
    pub(crate) router: Router,
    pub(crate) life: Lifecycle,
    pub(crate) seat: Arc<Seat>,
    /// How long the router may take.
    pub(crate) limit: Duration,
}

impl Service<Request<Incoming>> for Answers {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let pulse = self.seat.pulse.clone();
        pulse.asked();
        let (life, seat) = (self.life.clone(), self.seat.clone());
        let handled = answer(self.router.clone(), request.map(Body::new), self.limit);
        // A task of its own: what was begun is brought to its end when the sender goes. It holds the connection's seat, so that there are
        // no more of them than connections.
        let handled = self.life.tasks.spawn(async move {
            let handled = life.hard.run_until_cancelled(handled).await;
            drop(seat);
            handled
        });
        Box::pin(async move {
            let mut response = match handled.await {
                Ok(Some(response)) => response,
                Ok(None) | Err(_) => cut().into_response().map(Body::from),
            };
            complete(response.headers_mut());
            pulse.answered(response.status().is_success());
            Ok(response.map(|body| Answer { body, pulse }))
        })
    }
}

async fn answer(router: Router, request: Request<Body>, limit: Duration) -> Response<Body> {
    // A panic leaves no more half-done than a handler that is dropped at an await: every effect stands for itself.
    let handled = AssertUnwindSafe(async { router.oneshot(request).await }).catch_unwind();
    let problem = match timeout(limit, handled).await {
        Ok(Ok(Ok(response))) => return response,
        Ok(Ok(Err(never))) => match never {},
        Ok(Err(_panic)) => {
            tracing::error!("a handler panicked; its sender gets 500");
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "/problems/internal",
                "Not dealt with",
            )
            .detail("dealing with the request failed unexpectedly")
            .remedy("look the time up in the log")
        }
        Err(_elapsed) => {
            tracing::warn!(?limit, "a request took too long; its sender gets 503");
            unavailable("dealing with the request took too long")
        }
    };
    problem.into_response().map(Body::from)
}

/// The process was told to stop at once.
fn cut() -> Problem {
    unavailable("the service is being stopped")
}

fn unavailable(detail: &str) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "/problems/unavailable",
        "Not now",
    )
    .detail(detail)
    .remedy("send it again")
}

fn complete(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
}

/// The body of an answer, which tells the pulse how it gets on.
pub(crate) struct Answer {
    body: Body,
    pulse: Arc<Pulse>,
}

impl http_body::Body for Answer {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.pulse.gave();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.pulse.finished();
    }
}
