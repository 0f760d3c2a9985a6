//! What S3 answers to reads and writes, well or not.

use super::*;

#[tokio::test]
async fn a_conditional_write_whose_answer_was_lost_does_not_lose_against_itself() {
    for ours in [true, false] {
        let writer: Arc<Mutex<String>> = Arc::default();
        let service = Script::start(move |n, asked| match (n, asked.method.as_str()) {
            (0, _) => {
                let id = if ours {
                    written(asked)
                } else {
                    "somebody else's".to_owned()
                };
                *writer.lock().unwrap() = id;
                Answer::s3_error(500, "InternalError")
            }
            (_, "PUT") => Answer::s3_error(412, "PreconditionFailed"),
            _ => {
                let mut headers = etag("won");
                headers.push(("x-amz-meta-trunkline-write", writer.lock().unwrap().clone()));
                Answer::Is(200, headers, Body::empty())
            }
        })
        .await;
        let stores = store_at(&service.url, "").await;
        let won = stores
            .store
            .put_if_absent("claim", Bytes::from_static(b"me"))
            .await
            .unwrap();
        assert_eq!(won, ours.then(|| ETag::new("\"won\"")));
        let asked = service.asked();
        let methods: Vec<&str> = asked.iter().map(|asked| asked.method.as_str()).collect();
        assert_eq!(methods, ["PUT", "PUT", "HEAD"]);
        assert_eq!(written(&asked[0]), written(&asked[1]), "attempts share their id");
    }
}

#[tokio::test]
async fn an_attempt_that_was_refused_for_sure_is_lost_without_a_question() {
    let service = Script::start(|_, _| Answer::s3_error(412, "PreconditionFailed")).await;
    let stores = store_at(&service.url, "").await;
    assert_eq!(stores.store.put_if_absent("a", Bytes::new()).await.unwrap(), None);
    let tag = ETag::new("\"1\"");
    assert_eq!(
        stores.store.put_if_match("a", &tag, Bytes::new()).await.unwrap(),
        None
    );
    let asked = service.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        (asked[0].header("if-none-match"), asked[1].header("if-match")),
        ("*", "\"1\"")
    );
}

#[tokio::test]
async fn a_write_that_is_put_off_by_another_one_is_tried_again() {
    let service = Script::start(|n, _| match n {
        0..5 => Answer::s3_error(409, "ConditionalRequestConflict"),
        _ => Answer::Is(200, etag("won"), Body::empty()),
    })
    .await;
    let stores = store_at(&service.url, "").await;
    let won = stores.store.put_if_absent("a", Bytes::new()).await.unwrap();
    assert_eq!(won, Some(ETag::new("\"won\"")));
    assert_eq!(service.asked().len(), 6);
}

#[tokio::test]
async fn no_more_is_read_than_an_object_may_have() {
    let claimed = MAX_OBJECT_BYTES + 1;
    let service = Script::start(move |_, asked| {
        let chunk = || Ok::<_, std::io::Error>(Bytes::from(vec![0; 1 << 20]));
        let endless = Body::from_stream(stream::repeat_with(chunk));
        if asked.target.contains("claims") {
            let length = vec![("content-length", claimed.to_string())];
            return Answer::Is(200, length, endless);
        }
        Answer::Is(200, etag("1"), endless)
    })
    .await;
    let stores = store_at(&service.url, "").await;
    for key in ["claims", "endless"] {
        let refused = stores.store.get(key).await;
        assert!(
            matches!(refused, Err(StoreError::Refused { .. })),
            "{key}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_read_again() {
    let service = Script::start(|n, _| {
        if n == 0 {
            let broken = stream::iter([Ok(Bytes::from_static(b"ha")), Err(std::io::Error::other("cut"))]);
            return Answer::Is(
                200,
                vec![("content-length", "4".into())],
                Body::from_stream(broken),
            );
        }
        Answer::Is(200, etag("1"), Body::from("half"))
    })
    .await;
    let stores = store_at(&service.url, "").await;
    assert_eq!(stores.store.get("a").await.unwrap().unwrap().bytes, "half");
}

#[tokio::test]
async fn objects_are_encrypted_as_configured_and_typed_by_their_ending() {
    let service = Script::start(|_, _| Answer::Is(200, etag("1"), Body::empty())).await;
    for (options, encryption, key) in [
        ("", "", ""),
        ("&encryption=s3", "AES256", ""),
        ("&encryption=kms", "aws:kms", ""),
        ("&kms_key=alias/calls", "aws:kms", "alias/calls"),
    ] {
        let stores = store_at(&service.url, options).await;
        stores.store.put("a.json", Bytes::new()).await.unwrap();
        let asked = service.asked().pop().unwrap();
        assert_eq!(asked.header("x-amz-server-side-encryption"), encryption);
        assert_eq!(asked.header("x-amz-server-side-encryption-aws-kms-key-id"), key);
        assert_eq!(asked.header("content-type"), "application/json");
        assert!(asked.target.starts_with("/bucket/p/a.json"), "{}", asked.target);
    }
}
