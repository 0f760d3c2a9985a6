//! Keeps one account registered, and takes it back at the end.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsipstack::sip::headers::typed::{From as TypedFrom, To as TypedTo};
use rsipstack::sip::{Auth, Header, HostWithPort, Method, Param, Request, Response, Scheme, Uri};
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transaction::make_tag;
use rsipstack::transport::SipAddr;
use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::flows::{self, Flows, Path};
use super::{convert, requests};
use crate::digest::client;
use crate::registration::{Machine, Outcome};
use crate::{Account, Destination, RegistrationFault, RegistrationStatus, Transport};

const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end waits for the account to be taken back.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// Of one attempt: the first challenge, one for a nonce too old, and one of a proxy.
const MAX_CHALLENGES: usize = 3;

pub(super) struct RegisterTask {
    pub(super) account: Account,
    pub(super) endpoint: EndpointInnerRef,
    pub(super) flows: Arc<Flows>,
    pub(super) status: watch::Sender<RegistrationStatus>,
    pub(super) cancel: CancellationToken,
    /// The same for all requests (RFC 3261 §10.2).
    pub(super) call_id: String,
    pub(super) cseq: u32,
    /// The way of the last attempt.
    pub(super) path: Option<Path>,
    pub(super) tasks: TaskTracker,
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// From 0 to 1: what each hasher is seeded with is random.
fn chance() -> f64 {
    let drawn = RandomState::new().hash_one(()) % 1_000;
    u32::try_from(drawn).map_or(0.0, f64::from) / 1_000.0
}

impl RegisterTask {
    pub(super) async fn run(mut self) {
        let mut machine = Machine::new(self.account.expires, now());
        while !self.cancel.is_cancelled() {
            if let Some(expires) = machine.attempt(now()) {
                let (cancel, status) = (self.cancel.clone(), self.status.clone());
                let mut attempt = std::pin::pin!(self.register(expires));
                let outcome = loop {
                    // An attempt that is dropped has been made or not: the last words are said all the same.
                    tokio::select! {
                        () = cancel.cancelled() => break None,
                        outcome = &mut attempt => break Some(outcome),
                        () = until(machine.ends()) => {
                            machine.expire(now());
                            status.send_replace(machine.status(now()));
                        }
                    }
                };
                let Some(outcome) = outcome else { break };
                machine.outcome(outcome, chance(), now());
            }
            machine.expire(now());
            self.status.send_replace(machine.status(now()));
            let wake = machine.next();
            let registered = self
                .path
                .clone()
                .filter(|_| machine.status(now()).granted.is_some());
            // All arms are cancel-safe.
            tokio::select! {
                () = self.cancel.cancelled() => {}
                () = sleep_until(wake.into()) => {}
                () = closed(registered.as_ref()) => {
                    self.path = None;
                    machine.disconnected(now());
                }
            }
        }
        if machine.status(now()).granted.is_some() {
            // Otherwise the registrar would send calls to nobody.
            let _ = timeout(FAREWELL_TIMEOUT, self.register(Duration::ZERO)).await;
        }
        self.status.send_replace(RegistrationStatus::default());
    }

    async fn register(&mut self, expires: Duration) -> Outcome {
        let unreachable = Outcome::Failed {
            fault: RegistrationFault::Unreachable,
            retry_after: None,
        };
        for destination in self.destinations().await {
            let path = match destination.transport {
                Transport::Udp => {
                    let address = HostWithPort::from(destination.address);
                    Some(Path::Udp(Some(SipAddr::new(
                        rsipstack::sip::Transport::Udp,
                        address,
                    ))))
                }
                _ => self.flows.to(&destination).await.map(Path::Flow),
            };
            let Some(path) = path else { continue };
            self.path = Some(path.clone());
            if let Some(response) = self.ask(&path, expires).await {
                return self.outcome(&response, expires);
            }
        }
        unreachable
    }

    /// The registrar's addresses, as DNS has them now.
    async fn destinations(&self) -> Vec<Destination> {
        let account = &self.account;
        let port = account.port.unwrap_or(account.transport.default_port());
        let host = account.host.trim_start_matches('[').trim_end_matches(']');
        let found = timeout(RESOLVE_TIMEOUT, lookup_host((host, port))).await;
        let addresses: Vec<SocketAddr> = match found {
            Ok(Ok(found)) => found.take(4).collect(),
            _ => Vec::new(),
        };
        let to = |address| Destination {
            address,
            transport: account.transport,
            name: match account.transport {
                Transport::Tls => host.to_owned(),
                _ => String::new(),
            },
        };
        addresses.into_iter().map(to).collect()
    }

    /// Sends REGISTER, again with credentials when it is challenged. `None`: no answer.
    async fn ask(&mut self, path: &Path, expires: Duration) -> Option<Response> {
        let mut credentials: Vec<Header> = Vec::new();
        for _ in 0..MAX_CHALLENGES {
            let mut request = self.request(path, expires)?;
            let uri = request.uri.to_string();
            request.headers.extend(credentials.clone());
            let response = requests::send(&self.endpoint, request, path, &self.tasks).await?;
            let Some(challenges) = convert::challenges(&response) else {
                return Some(response);
            };
            let of_proxy = response.status_code.code() == 407;
            let is_answered = credentials
                .iter()
                .any(|header| matches!(header, Header::ProxyAuthorization(_)) == of_proxy);
            if is_answered && !client::is_stale(challenges.iter().map(String::as_str)) {
                return Some(response);
            }
            let login = &self.account.login;
            let Some(answer) = convert::authorization(&response, login, Method::Register, &uri, b"") else {
                return Some(response);
            };
            credentials.retain(|header| matches!(header, Header::ProxyAuthorization(_)) != of_proxy);
            credentials.push(answer);
        }
        None
    }

    fn request(&mut self, path: &Path, expires: Duration) -> Option<Request> {
        let here = self.flows.here(&self.endpoint, path)?;
        let account = &self.account;
        let domain = HostWithPort::try_from(account.domain.as_str()).ok()?;
        let registrar = Uri {
            scheme: Some(Scheme::Sip),
            host_with_port: domain,
            ..Uri::default()
        };
        let user = |user: &str| {
            Some(Auth {
                user: user.to_owned(),
                password: None,
            })
        };
        let address = Uri {
            auth: user(&account.user),
            ..registrar.clone()
        };
        let contact = Uri {
            auth: user(&account.contact_user()),
            ..flows::contact(&here)
        };
        self.cseq += 1;
        let via = self.endpoint.get_via(Some(here), None).ok()?;
        let from = TypedFrom {
            display_name: None,
            uri: address.clone(),
            params: vec![Param::Tag(make_tag())],
        };
        let to = TypedTo {
            display_name: None,
            uri: address,
            params: Vec::new(),
        };
        let call_id = Some(self.call_id.clone().into());
        let mut request =
            self.endpoint
                .make_request(Method::Register, registrar, via, from, to, self.cseq, call_id);
        request
            .headers
            .push(Header::Contact(format!("<{contact}>").into()));
        request
            .headers
            .push(Header::Expires(expires.as_secs().to_string().into()));
        request.headers.push(Header::Allow(crate::ALLOW.into()));
        Some(request)
    }

    fn outcome(&self, response: &Response, asked: Duration) -> Outcome {
        let failed = |fault| Outcome::Failed {
            fault,
            retry_after: seconds(response, "Retry-After"),
        };
        match response.status_code.code() {
            200..300 => {
                let ours = self.account.contact_user();
                let granted = granted(response, &ours).or_else(|| asked.is_zero().then_some(asked));
                granted.map_or(failed(RegistrationFault::NotBound), Outcome::Granted)
            }
            423 => seconds(response, "Min-Expires")
                .map_or(failed(RegistrationFault::Refused(423)), Outcome::TooBrief),
            401 | 407 => failed(RegistrationFault::Credentials),
            code => failed(RegistrationFault::Refused(code)),
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn closed(path: Option<&Path>) {
    match path {
        Some(path) => path.closed().await,
        None => std::future::pending().await,
    }
}

/// How long the registrar keeps our Contact (RFC 3261 §10.2.4): by the Contact's own parameter, or by the Expires header.
fn granted(response: &Response, ours: &str) -> Option<Duration> {
    let mut contacts = response.headers.iter().filter_map(|header| match header {
        Header::Contact(contact) => Some(contact.value()),
        _ => None,
    });
    let mark = format!("{ours}@");
    let (_, after) = contacts.find_map(|line| line.split_once(mark.as_str()))?;
    // Up to the next Contact of the same line.
    let own = after.split(',').next().unwrap_or_default();
    let parameter = own.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_expires = name.trim().eq_ignore_ascii_case("expires");
        is_expires.then(|| value.trim().parse().ok()).flatten()
    });
    let granted = parameter
        .map(Duration::from_secs)
        .or_else(|| seconds(response, "Expires"));
    granted.filter(|granted| !granted.is_zero())
}

/// A header that is a number of seconds, perhaps with a comment or parameters.
fn seconds(response: &Response, name: &str) -> Option<Duration> {
    let mut headers = response.headers.iter();
    let value = headers
        .find(|header| header.name().eq_ignore_ascii_case(name))?
        .value();
    let digits = value.trim().split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().map(Duration::from_secs)
}
