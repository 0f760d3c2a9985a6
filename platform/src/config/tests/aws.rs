//! `queue` and `store` on AWS.

use super::*;

#[test]
fn queue_and_store_on_aws_are_read_with_the_region_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let mut env = least();
    env.insert("AWS_DEFAULT_REGION".into(), "eu-west-1".into());
    let text = "queue: sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/call-jobs.fifo\nstore: s3://call-data/prod\n";
    let config = parse_in(folder.path(), text, &env).unwrap();
    let (QueueConfig::Sqs(queue), StoreConfig::S3(store)) = (&config.queue, &config.store) else {
        panic!("{config:?}")
    };
    assert_eq!(
        (queue.region.as_str(), store.region.as_str()),
        ("eu-central-1", "eu-west-1")
    );
    assert_eq!(
        (store.bucket.as_str(), store.prefix.as_str()),
        ("call-data", "prod")
    );
    assert!(!format!("{config:?}").contains("123456789012"));
    assert_eq!(config.store.to_string(), "s3://call-data/prod");
}

#[test]
fn a_queue_or_store_that_is_refused_is_not_echoed() {
    for text in [
        "queue: 'https://u:canary@h/q.fifo'",
        "queue: 'sqs:https://u:canary@h/q.fifo?region=r'",
        "store: 'https://u:canary@h'",
        "store: 's3://u:canary@bucket?region=r'",
        "store: 's3://bucket?region=r&endpoint=https://u:canary@h'",
    ] {
        let (_, _, said) = fault_of(text);
        assert!(!said.contains("canary"), "{said}");
    }
}
