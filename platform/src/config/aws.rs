//! The URLs of queue and store on AWS, or on a service that speaks its language.

use std::borrow::Cow;

use reqwest::Url;

use super::{
    Environment,
    suggest::closest,
    types::{S3Config, S3Encryption, SqsConfig},
    values::{Wrong, url, wrong},
};

/// Room for the longest key behind it, within the 1,024 bytes that S3 allows.
const MAX_PREFIX_BYTES: usize = 200;

/// `https://sqs.<region>.amazonaws.com/<account>/<name>.fifo?region=…&dead_letters=…`.
pub(super) fn sqs(text: &str, env: &dyn Environment) -> Result<SqsConfig, Wrong> {
    let example = "write it like sqs:https://sqs.eu-central-1.amazonaws.com/123456789012/call-jobs.fifo";
    let plain = encrypted(text)?;
    let (plain, _) = plain.split_once('?').unwrap_or((&plain, ""));
    let Ok(parsed) = Url::parse(text.trim()) else {
        return wrong("what follows sqs: is no URL", example);
    };
    let name = parsed.path().rsplit('/').next().unwrap_or_default();
    if name.strip_suffix(".fifo").is_none() {
        return wrong(
            "the queue is no FIFO queue: its name does not end with .fifo",
            format!("jobs need order and a lock per call; {example}"),
        );
    }
    let mut options = Options::of(&parsed, &["region", "dead_letters"])?;
    let region = options.take("region").or_else(|| region_in(parsed.host_str()?));
    let dead_letters = options
        .take("dead_letters")
        .map(|url| encrypted(&url))
        .transpose()?;
    Ok(SqsConfig {
        url: plain.to_owned(),
        endpoint: parsed.origin().ascii_serialization(),
        region: region_or_default(region, "queue", env)?,
        dead_letters,
    })
}

/// `s3://<bucket>/<prefix>?region=…&endpoint=…&path_style=…&encryption=…&kms_key=…&spool=…`.
pub(super) fn s3(text: &str, env: &dyn Environment) -> Result<S3Config, Wrong> {
    let example = "write it like s3://bucket/prefix?region=eu-central-1";
    let Some(parsed) = Url::parse(text.trim()).ok().filter(Url::has_host) else {
        return wrong("it is no s3:// URL", example);
    };
    if !parsed.username().is_empty() || parsed.password().is_some() || parsed.port().is_some() {
        return wrong(
            "it holds a user, a password or a port",
            "give keys by the environment (AWS_ACCESS_KEY_ID), another service by ?endpoint=https://…",
        );
    }
    let bucket = parsed.host_str().unwrap_or_default();
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_name) {
        return wrong(format!("\"{bucket}\" is no name of a bucket"), example);
    }
    let prefix = parsed.path().trim_matches('/');
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with('.')
            && segment.bytes().all(|b| is_name(b) || b"=@+".contains(&b))
    };
    if prefix.len() > MAX_PREFIX_BYTES || !(prefix.is_empty() || prefix.split('/').all(is_segment)) {
        return wrong(
            format!("\"{prefix}\" cannot be what keys begin with"),
            "use at most 200 letters, digits and -_.=@+, in segments that do not begin with a dot",
        );
    }
    let known = [
        "region",
        "endpoint",
        "path_style",
        "encryption",
        "kms_key",
        "spool",
    ];
    let mut options = Options::of(&parsed, &known)?;
    let endpoint = options.take("endpoint").map(|url| encrypted(&url)).transpose()?;
    Ok(S3Config {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
        region: region_or_default(options.take("region"), "store", env)?,
        endpoint,
        path_style: path_style(options.take("path_style").as_deref())?,
        encryption: encryption(options.take("encryption").as_deref(), options.take("kms_key"))?,
        spool: options
            .take("spool")
            .unwrap_or_else(|| "data/spool".to_owned())
            .into(),
    })
}

/// A URL that is encrypted, or stays on this machine.
fn encrypted(text: &str) -> Result<String, Wrong> {
    url("https", "http")(text)
}

fn path_style(text: Option<&str>) -> Result<bool, Wrong> {
    match text {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => wrong(format!("path_style is \"{other}\""), "set it to true or false"),
    }
}

fn encryption(kind: Option<&str>, kms_key: Option<String>) -> Result<S3Encryption, Wrong> {
    match (kind, kms_key) {
        (None, None) => Ok(S3Encryption::Bucket),
        (Some("s3"), None) => Ok(S3Encryption::S3),
        (None | Some("kms"), Some(key)) => Ok(S3Encryption::Kms(Some(key))),
        (Some("kms"), None) => Ok(S3Encryption::Kms(None)),
        (Some("s3"), Some(_)) => wrong("kms_key goes with encryption=kms", "leave one of them out"),
        (Some(other), _) => wrong(
            format!("encryption is \"{other}\""),
            "set it to s3 or kms, or leave it out for the bucket's default",
        ),
    }
}

/// `sqs.<region>.amazonaws.com`, `sqs-fips.<region>…`, `<region>.queue.amazonaws.com`, and private endpoints' names.
fn region_in(host: &str) -> Option<String> {
    let host = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"]
        .iter()
        .find_map(|domain| host.strip_suffix(domain))?;
    let labels: Vec<&str> = host.split('.').collect();
    labels.windows(2).find_map(|pair| match pair {
        ["sqs" | "sqs-fips", region] | [region, "queue"] => Some((*region).to_owned()),
        _ => None,
    })
}

fn region_or_default(region: Option<String>, key: &str, env: &dyn Environment) -> Result<String, Wrong> {
    let usual = || {
        ["AWS_REGION", "AWS_DEFAULT_REGION"]
            .iter()
            .find_map(|name| env.var(name).filter(|region| !region.is_empty()))
    };
    match region.or_else(usual) {
        Some(region) if region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => Ok(region),
        Some(_) => wrong("the region is no region's name", "write it like eu-central-1"),
        None => wrong(
            "the region is missing",
            format!(
                "add ?region=… to the key `{key}`, or set AWS_REGION; other services than AWS take any, mostly us-east-1"
            ),
        ),
    }
}

/// What stands behind the question mark.
struct Options(Vec<(String, String)>);

impl Options {
    fn of(url: &Url, known: &[&'static str]) -> Result<Self, Wrong> {
        let mut found: Vec<(String, String)> = Vec::new();
        for (name, value) in url.query_pairs() {
            if !known.contains(&&*name) {
                let remedy = match closest(&name, known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the options here are: {}", known.join(", ")),
                };
                return wrong(format!("there is no option `{}`", cut(&name)), remedy);
            }
            if found.iter().any(|(other, _)| *other == *name) {
                return wrong(format!("`{name}` stands there twice"), "leave one of them out");
            }
            if value.is_empty() {
                return wrong(format!("`{name}` is empty"), "set it, or leave it out");
            }
            found.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(found))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// An unknown option may be a secret in the wrong place: its beginning tells enough.
fn cut(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(16) {
        Some((at, _)) => format!("{}…", name.get(..at).unwrap_or_default()).into(),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn none() -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    #[test]
    fn the_region_of_a_queue_stands_in_its_host() {
        for (host, region) in [
            ("sqs.eu-central-1.amazonaws.com", "eu-central-1"),
            ("sqs-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("eu-west-1.queue.amazonaws.com", "eu-west-1"),
            ("vpce-0a1b-2c3d.sqs.us-east-2.vpce.amazonaws.com", "us-east-2"),
            ("sqs.eu-north-1.api.aws", "eu-north-1"),
        ] {
            let config = sqs(&format!("https://{host}/123456789012/call-jobs.fifo"), &none()).unwrap();
            assert_eq!(
                (config.region.as_str(), config.endpoint.clone()),
                (region, format!("https://{host}")),
                "{host}"
            );
            assert_eq!(config.name(), "call-jobs.fifo");
        }
    }

    #[test]
    fn another_service_needs_its_region_named_and_keeps_its_port() {
        let url = "http://127.0.0.1:4567/000000000000/q.fifo";
        assert!(sqs(url, &none()).is_err());
        let named = sqs(&format!("{url}?region=us-east-1"), &none()).unwrap();
        assert_eq!(
            (named.url.as_str(), named.endpoint.as_str()),
            (url, "http://127.0.0.1:4567")
        );
        let env = BTreeMap::from([("AWS_REGION".to_owned(), "eu-west-3".to_owned())]);
        assert_eq!(sqs(url, &env).unwrap().region, "eu-west-3");
    }

    #[test]
    fn a_bucket_has_a_prefix_and_options() {
        let text = "s3://call-data/prod/eu?region=eu-central-1&endpoint=https://s3.example.com&path_style=true\
            &kms_key=arn:aws:kms:eu-central-1:123456789012:key/x&spool=/var/spool/trunkline";
        let config = s3(text, &none()).unwrap();
        assert_eq!(
            (config.bucket.as_str(), config.prefix.as_str()),
            ("call-data", "prod/eu")
        );
        assert_eq!(config.endpoint.as_deref(), Some("https://s3.example.com"));
        assert!(config.path_style && config.spool.ends_with("trunkline"));
        assert_eq!(
            config.encryption,
            S3Encryption::Kms(Some("arn:aws:kms:eu-central-1:123456789012:key/x".into()))
        );
        let least = s3("s3://bucket?region=r", &none()).unwrap();
        assert_eq!((least.prefix.as_str(), least.path_style), ("", false));
        assert_eq!(least.encryption, S3Encryption::Bucket);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_remedy_and_without_the_secret() {
        let aws = "https://sqs.eu-central-1.amazonaws.com/1";
        for (text, said) in [
            (format!("{aws}/jobs"), ".fifo"),
            ("http://10.0.0.1/1/jobs.fifo".into(), "https://10.0.0.1"),
            ("https://u:canary@h/1/jobs.fifo".into(), "user or password"),
            (format!("{aws}/jobs.fifo?regio=x"), "did you mean `region`?"),
            (format!("{aws}/jobs.fifo?region="), "empty"),
            (format!("{aws}/jobs.fifo?region=a&region=b"), "twice"),
            (format!("{aws}/jobs.fifo?region=a b"), "region"),
            (format!("{aws}/jobs.fifo?dead_letters=http://h/x"), "https://h"),
            (String::new(), "URL"),
        ] {
            let Wrong { problem, remedy } = sqs(&text, &none()).unwrap_err();
            let all = format!("{problem} / {remedy}");
            assert!(all.contains(said) && !all.contains("canary"), "{text}: {all}");
        }
        for (text, said) in [
            ("s3:bucket", "s3://"),
            ("s3://b?region=r", "name of a bucket"),
            ("s3://key:canary@bucket?region=r", "AWS_ACCESS_KEY_ID"),
            ("s3://bucket/../x y?region=r", "begin with"),
            ("s3://bucket/.hidden?region=r", "begin with"),
            ("s3://bucket", "AWS_REGION"),
            ("s3://bucket?region=r&path_style=yes", "true or false"),
            ("s3://bucket?region=r&encryption=aes", "s3 or kms"),
            ("s3://bucket?region=r&encryption=s3&kms_key=k", "leave one"),
            (
                "s3://bucket?region=r&endpoint=http://s3.example.com",
                "https://s3.example.com",
            ),
            (
                "s3://bucket?region=r&secret_canary_0123456789=x",
                "the options here are",
            ),
        ] {
            let Wrong { problem, remedy } = s3(text, &none()).unwrap_err();
            let all = format!("{problem} / {remedy}");
            assert!(
                all.contains(said) && !all.contains("canary_0123456789"),
                "{text}: {all}"
            );
        }
    }
}
