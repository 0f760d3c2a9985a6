use tracing::Level;

/// Targets that are capped, with the most detailed level that they may have. A target is meant with all that is below it
/// (`hyper` is `hyper::client` too, not `hyperspace`).
///
/// - `rsipstack` logs whole SIP messages: numbers, digests.
/// - `livekit…` and `libwebrtc` log room names, identities, SDP, and tokens in URLs.
/// - The HTTP, TLS and WebSocket crates log headers, frames and URLs.
/// - The AWS crates log requests with their headers, answers with their bodies, and what is signed.
/// - Lambda's runtime logs events with their bodies.
/// - `redis`, `rusqlite` and `sqlite` log commands and statements with their values.
pub const CAPS: &[(&str, Level)] = &[
    ("rsipstack", Level::WARN),
    ("rsip", Level::WARN),
    ("livekit", Level::WARN),
    ("livekit_api", Level::INFO),
    ("livekit_common", Level::INFO),
    ("livekit_data_stream", Level::INFO),
    ("livekit_datatrack", Level::INFO),
    ("livekit_net", Level::INFO),
    ("livekit_protocol", Level::INFO),
    ("livekit_region", Level::INFO),
    ("livekit_rpc", Level::WARN),
    ("livekit_runtime", Level::INFO),
    ("livekit_signaling", Level::INFO),
    ("livekit_token", Level::INFO),
    ("str0m", Level::INFO),
    ("is", Level::INFO),
    ("dimpl", Level::INFO),
    ("sctp_proto", Level::INFO),
    ("hyper", Level::INFO),
    ("hyper_util", Level::INFO),
    ("hyper_rustls", Level::INFO),
    ("h2", Level::INFO),
    ("h3", Level::INFO),
    ("reqwest", Level::INFO),
    ("tower", Level::INFO),
    ("tower_http", Level::INFO),
    ("axum", Level::INFO),
    ("rustls", Level::WARN),
    ("rustls_platform_verifier", Level::WARN),
    ("tokio_rustls", Level::WARN),
    ("tungstenite", Level::INFO),
    ("tokio_tungstenite", Level::INFO),
    ("jsonwebtoken", Level::WARN),
    ("redis", Level::INFO),
    ("rusqlite", Level::INFO),
    ("mio", Level::INFO),
    ("aws_config", Level::WARN),
    ("aws_credential_types", Level::WARN),
    ("aws_runtime", Level::INFO),
    ("aws_sdk", Level::INFO),
    ("aws_sigv4", Level::WARN),
    ("aws_smithy", Level::INFO),
    ("aws_types", Level::INFO),
    ("lambda_http", Level::INFO),
    ("lambda_runtime", Level::INFO),
    ("lambda_runtime_api_client", Level::INFO),
];

/// Whether the caps let an event of this target and level through.
pub(super) fn allows(target: &str, level: Level) -> bool {
    // Levels compare by verbosity: ERROR is the least.
    CAPS.iter()
        .all(|(capped, most)| !is_in(target, capped) || level <= *most)
}

/// Whether the target is one of the capped ones.
pub(super) fn is_capped(target: &str) -> bool {
    CAPS.iter().any(|(capped, _)| is_in(target, capped))
}

/// An error that is none: whoever leaves a room takes its track back first, and the connection is closed before the SDK can offer that.
pub(super) fn is_no_fault(target: &str, message: &str) -> bool {
    is_in(target, "livekit")
        && message.starts_with("failed to negotiate the publisher")
        && message.contains("the peer connection is closed")
}

fn is_in(target: &str, capped: &str) -> bool {
    // Crates of one vendor share a prefix: aws_smithy_runtime, aws_sdk_s3.
    let below = |rest: &str| {
        rest.is_empty() || rest.starts_with("::") || (capped.starts_with("aws_") && rest.starts_with('_'))
    };
    target.strip_prefix(capped).is_some_and(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_hold_for_a_target_and_all_below_it_and_for_no_other() {
        assert!(!allows("rsipstack", Level::INFO));
        assert!(!allows("rsipstack::transport::udp", Level::DEBUG));
        assert!(allows("rsipstack::dialog", Level::WARN));
        assert!(!allows("hyper::client", Level::DEBUG));
        assert!(allows("hyperspace", Level::TRACE));
        assert!(!allows("aws_smithy_runtime::client", Level::TRACE));
        assert!(!allows("aws_sdk_s3::operation::put_object", Level::DEBUG));
        assert!(!allows("aws_sigv4::http_request::sign", Level::INFO));
        assert!(allows("platform::livekit", Level::TRACE));
        assert!(allows("gateway", Level::TRACE));
    }
}
