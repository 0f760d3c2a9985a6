//! Bodies that are too large, too slow, or not what was asked for.

use std::{convert::Infallible, time::Duration};

use access::{Body, MAX_BODY_BYTES};
use axum::{body::Body as Raw, extract::FromRequest, response::IntoResponse};
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use serde::Deserialize;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    name: String,
}

async fn read(request: Request<Raw>) -> Result<Wanted, (u16, String)> {
    match Body::<Wanted>::from_request(request, &()).await {
        Ok(Body(wanted)) => Ok(wanted),
        Err(fail) => {
            let text = serde_json::to_string(fail.problem()).unwrap();
            Err((fail.into_response().status().as_u16(), text))
        }
    }
}

fn post(body: impl Into<Raw>) -> Request<Raw> {
    Request::post("/").body(body.into()).unwrap()
}

#[tokio::test]
async fn a_body_is_read_and_none_is_an_empty_object() {
    assert_eq!(read(post(r#"{"name": "a"}"#)).await.unwrap().name, "a");
    for none in ["", "null", " null\n"] {
        assert_eq!(read(post(none)).await.unwrap().name, "");
    }
}

#[tokio::test]
async fn a_large_body_is_refused_whether_it_says_its_length_or_not() {
    let announced = Request::post("/")
        .header("content-length", "999999999")
        .body(Raw::empty())
        .unwrap();
    let endless = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[b' '; 1_024])));
    for request in [
        announced,
        post(Raw::from_stream(endless)),
        post(vec![b' '; MAX_BODY_BYTES + 1]),
    ] {
        assert_eq!(read(request).await.unwrap_err().0, 413);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_ends_in_408() {
    let slow = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
    });
    assert_eq!(read(post(Raw::from_stream(slow))).await.unwrap_err().0, 408);
}

#[tokio::test]
async fn faults_name_the_field_and_quote_no_value() {
    let (status, text) = read(post(r#"{"nam": "+15550100999"}"#)).await.unwrap_err();
    assert!(status == 400 && text.contains(r#""field":"nam""#), "{text}");
    for body in [
        r#"{"name": 15550100999}"#,
        r#"{"name": "+15550100999"#,
        "[15550100999]",
        "\u{0}",
    ] {
        let (status, text) = read(post(body)).await.unwrap_err();
        assert!(status == 400 && !text.contains("15550100999"), "{text}");
    }
    let form = Request::post("/").header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(
        read(form.body(Raw::from("a=b")).unwrap()).await.unwrap_err().0,
        415
    );
}

/// What LiveKit says, what the caller is answered, and whether it counts as a failure.
#[tokio::test]
async fn what_livekit_cannot_do_now_is_no_fault_of_the_request() {
    use axum::response::IntoResponse as _;
    use platform::livekit::LiveKitError;
    let (method, message) = ("ListRooms", String::from("redis is away"));
    for (error, status) in [
        (
            LiveKitError::Unavailable {
                method,
                code: "internal".into(),
                message: message.clone(),
            },
            503,
        ),
        (
            LiveKitError::Failed {
                method,
                code: "internal".into(),
                message,
            },
            504,
        ),
    ] {
        assert_eq!(access::Fail::from(error).into_response().status(), status);
    }
}
