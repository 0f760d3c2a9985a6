//! What others send us: SIP and webhooks.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use platform::{
    clock::{Clock as _, SystemClock},
    config::Config,
};
use serde_json::{Value, json};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout},
};

use super::{Area, Finding, invite};

/// How long the gateway may take to answer one OPTIONS, and how many it gets: UDP may lose one.
const ANSWER_LIMIT: Duration = Duration::from_millis(700);
const TRIES: usize = 3;
/// How long an HTTP request may take.
const HTTP_LIMIT: Duration = Duration::from_secs(10);
/// LiveKit holds the next webhook of a room back until the last one is answered.
const SLOW: Duration = Duration::from_secs(1);
/// The largest answer that is looked at, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// An HTTP client for `url` that follows no redirection.
pub(super) fn client(url: &str) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .timeout(HTTP_LIMIT)
        .redirect(reqwest::redirect::Policy::none());
    if url.starts_with("http://") {
        // No TLS to come: do not fail on a machine without certificates.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

/// OPTIONS over UDP (RFC 3261 §11), then an INVITE that is refused.
pub(super) async fn gateway(listen: SocketAddr) -> Vec<Finding> {
    let address = reachable(listen);
    let says = match ask(address).await {
        Ok(Some(status)) if status.starts_with("200") => {
            let refused = invite::examine(address).await;
            let well = || Finding::well(Area::Gateway, format!("SIP is answered at {address}"));
            return vec![refused.unwrap_or_else(well)];
        }
        Ok(Some(status)) => format!("OPTIONS at {address} is answered with {status}"),
        Ok(None) => format!("nobody answers SIP at {address}"),
        Err(error) => format!("{address} cannot be asked: {error}"),
    };
    let remedy =
        "start `trunkline serve`, or livekit-sip, on this machine; --without-gateway when it runs on another";
    vec![Finding::error(Area::Gateway, says, remedy)]
}

/// The status of the answer, if one comes.
async fn ask(address: SocketAddr) -> std::io::Result<Option<String>> {
    let any: IpAddr = if address.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    let own = socket.local_addr()?;
    let id = format!("{:016x}", rand::random::<u64>());
    let request = format!(
        "OPTIONS sip:{address} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{id};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:doctor@{own}>;tag={id}\r\nTo: <sip:{address}>\r\nCall-ID: {id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    let mut answer = [0_u8; 2048];
    for _ in 0..TRIES {
        socket.send(request.as_bytes()).await?;
        // Cancel-safe: what comes after it is read by the next try, or by nobody.
        match timeout(ANSWER_LIMIT, socket.recv(&mut answer)).await {
            Ok(Ok(length)) => {
                let text = String::from_utf8_lossy(answer.get(..length).unwrap_or_default()).into_owned();
                let status = text.lines().next().and_then(|line| line.strip_prefix("SIP/2.0 "));
                return Ok(Some(status.unwrap_or("what is no SIP").to_owned()));
            }
            // The port is closed: the system says so at once.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => return Ok(None),
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Ok(None)
}

/// What is listened on, for somebody on this machine.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// A webhook of a kind that nobody knows, signed as LiveKit signs: taken, and without effect.
pub(super) async fn webhook(config: &Config, url: Option<&str>) -> Vec<Finding> {
    let own = format!("http://{}{}", reachable(config.http.listen), webhook::PATH);
    let url = url.unwrap_or(&own);
    let id = format!("EV_doctor{:016x}", rand::random::<u64>());
    let now_s = SystemClock.now().unix_timestamp();
    let body = json!({"event": "doctor", "id": id, "createdAt": now_s.to_string()}).to_string();
    let key = &config.livekit;
    let token = match webhook::sign(&key.api_key, &key.api_secret, body.as_bytes(), now_s) {
        Ok(token) => token,
        Err(error) => {
            let says = format!("the test webhook cannot be signed: {error}");
            return vec![Finding::error(Area::Webhook, says, "check livekit.api_secret")];
        }
    };
    let client = match client(url) {
        Ok(client) => client,
        Err(error) => {
            let says = format!("no HTTP client can be made: {error}");
            return vec![Finding::error(
                Area::Webhook,
                says,
                "look at the certificates of this machine",
            )];
        }
    };
    let started = Instant::now();
    let sent = client
        .post(url)
        .header("content-type", "application/webhook+json")
        .header("authorization", token)
        .body(body)
        .send()
        .await;
    vec![match sent {
        Ok(answer) if answer.status().as_u16() == 200 => taken(url, started.elapsed()),
        Ok(answer) => refused(url, answer).await,
        Err(error) => Finding::error(
            Area::Webhook,
            format!("{url} cannot be reached: {}", cause(&error)),
            "start `trunkline serve`; check http.listen, or the proxy in front of it, and `webhook.urls` in livekit-server's configuration",
        ),
    }]
}

fn taken(url: &str, after: Duration) -> Finding {
    if after < SLOW {
        return Finding::well(Area::Webhook, format!("a test webhook is taken at {url}"));
    }
    let says = format!("{url} took {} ms for a test webhook", after.as_millis());
    let remedy = "LiveKit waits with the next webhook of a room for the last one's answer: look at the load of the machine, and at the queue and the store";
    Finding::warning(Area::Webhook, says, remedy)
}

/// Ours say what is wrong and what to do (RFC 9457).
async fn refused(url: &str, mut answer: reqwest::Response) -> Finding {
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            break;
        }
    }
    let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
    let told = |key: &str| problem.get(key).and_then(Value::as_str);
    let what = told("detail")
        .or(told("title"))
        .unwrap_or("without a word of why");
    let remedy = told("remedy").unwrap_or(match status {
        404 | 405 => "is it Trunkline that listens there, and is the path /webhooks/livekit?",
        300..=399 => "let webhook.urls name the place that it is redirected to: LiveKit follows nothing",
        _ => "look at what stands between: the request must arrive as it was sent, body and Authorization untouched",
    });
    Finding::error(
        Area::Webhook,
        format!("{url} refuses a test webhook ({status}): {what}"),
        remedy,
    )
}

/// What the network says, without the URL, which stands before it.
fn cause(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(deeper) = source.source() {
        source = deeper;
    }
    source.to_string()
}
