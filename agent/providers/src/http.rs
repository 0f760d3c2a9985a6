//! What every client of HTTP here shares.

use std::{net::IpAddr, time::Duration};

use reqwest::{Url, header::HeaderMap, redirect::Policy};

/// A client that asks `base`, or what is below it, with `headers`. The process's TLS provider must have been installed before.
pub(crate) fn client(
    base: Option<&Url>,
    headers: HeaderMap,
    connect: Option<Duration>,
) -> Result<reqwest::Client, String> {
    // The builder panics without one.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err("cannot be used: the process has no TLS provider".to_owned());
    }
    let mut builder = reqwest::Client::builder()
        // A redirected request would carry secrets and the call's words to a place that nobody configured.
        .redirect(Policy::none())
        .default_headers(headers)
        .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")));
    if let Some(connect) = connect {
        builder = builder.connect_timeout(connect);
    }
    if base.is_some_and(is_loopback) {
        builder = builder.no_proxy();
    }
    builder
        .build()
        .map_err(|error| format!("cannot be used: {error}"))
}

/// Proxies are for the outside, and plain HTTP is for the inside.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
