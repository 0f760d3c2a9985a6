//! The types of `recordings` and `ingress`: media that goes out of and comes into rooms by LiveKit's services.

use crate::Secret;

/// `recordings`: egress.
#[derive(Debug, Clone, Default)]
pub struct RecordingsConfig {
    /// `s3`: where egress writes files to. `None`: no files, streams only.
    pub s3: Option<S3Target>,
    /// `private_hosts`: hosts inside that streams may go to all the same. Default: none.
    pub private_hosts: Vec<String>,
}

/// `recordings.s3`.
#[derive(Debug, Clone)]
pub struct S3Target {
    /// `bucket`, required.
    pub bucket: String,
    /// `region`. Default `us-east-1`.
    pub region: String,
    /// `endpoint`: of a service other than AWS, as the egress machine reaches it.
    pub endpoint: Option<String>,
    /// `path_style`: whether the bucket is part of the path. Default false.
    pub path_style: bool,
    /// `access_key`, required. LiveKit passes it on over Redis in clear.
    pub access_key: String,
    /// `secret`, required. LiveKit passes it on over Redis in clear.
    pub secret: Secret,
}

/// `ingress`.
#[derive(Debug, Clone, Default)]
pub struct IngressConfig {
    /// `private_hosts`: hosts inside that may be fetched from all the same. Default: none.
    pub private_hosts: Vec<String>,
}
