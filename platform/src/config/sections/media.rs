use super::{access::items, not_empty};
use crate::{
    Secret,
    config::{
        media::{IngressConfig, RecordingsConfig, S3Target},
        reader::{Context, Section, parsed},
        values::{flag, url},
    },
};

pub(super) fn recordings(cx: &Context<'_>, mut section: Section<'_>) -> RecordingsConfig {
    let has_s3 = section.has("s3");
    let target = section.section("s3");
    let s3 = if has_s3 { s3(cx, target) } else { None };
    let private_hosts = items(cx, &mut section, "private_hosts", not_empty).unwrap_or_default();
    section.finish();
    RecordingsConfig { s3, private_hosts }
}

fn s3(cx: &Context<'_>, mut section: Section<'_>) -> Option<S3Target> {
    let bucket = section.required("bucket", &[], "name the bucket that recordings go to", not_empty);
    let region = section.or("region", "us-east-1".to_owned(), not_empty);
    let endpoint = section
        .raw("endpoint", &[])
        .and_then(|found| parsed(cx, &found, url("https", "http")));
    let path_style = section.or("path_style", false, flag);
    let remedy = "set it to a key that may write to the bucket and do nothing else";
    let access_key = section.required("access_key", &[], remedy, not_empty);
    let secret = section.required("secret", &[], remedy, |text| not_empty(text).map(Secret::new));
    section.finish();
    Some(S3Target {
        bucket: bucket?,
        region,
        endpoint,
        path_style,
        access_key: access_key?,
        secret: secret?,
    })
}

pub(super) fn ingress(cx: &Context<'_>, mut section: Section<'_>) -> IngressConfig {
    let private_hosts = items(cx, &mut section, "private_hosts", not_empty).unwrap_or_default();
    section.finish();
    IngressConfig { private_hosts }
}
