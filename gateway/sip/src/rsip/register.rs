//! Keeps one account registered, and takes it back at the end.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rsipstack::sip::headers::typed::{From as TypedFrom, To as TypedTo};
use rsipstack::sip::{Auth, Header, HostWithPort, Method, Param, Request, Response, Scheme, Uri};
use rsipstack::transaction::endpoint::EndpointInnerRef;
use rsipstack::transaction::make_tag;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::flows::{self, Flows, Path};
use super::{convert, requests};
use crate::digest::client;
use crate::registration::{Machine, Outcome};
use crate::{Account, Destination, RegistrationFault, RegistrationStatus, Transport};

/// How long the end waits for the account to be taken back.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// Multiples of T1 that a host may stay silent when there is another one.
const PATIENCE_T1: u32 = 8;
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
    /// Who has answered it.
    pub(super) host: Option<SocketAddr>,
    pub(super) t1: Duration,
    /// How often a NAT on the way is reminded of us, over UDP.
    pub(super) keep_alive: Option<Duration>,
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
            self.status.send_replace(RegistrationStatus {
                host: self.host,
                ..machine.status(now())
            });
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
                () = self.keep_alive(registered.as_ref()) => {}
            }
        }
        if machine.status(now()).granted.is_some() {
            // Otherwise the registrar would send calls to nobody.
            let _ = timeout(FAREWELL_TIMEOUT, self.register(Duration::ZERO)).await;
        }
        self.status.send_replace(RegistrationStatus::default());
    }

    /// Keeps the way open that calls come by, through whatever NAT is on it. Over connections that is theirs to do. Never resolves.
    async fn keep_alive(&self, registered: Option<&Path>) {
        let (Some(Path::Udp(_)), Some(host), Some(every)) = (registered, self.host, self.keep_alive) else {
            return std::future::pending().await;
        };
        loop {
            // RFC 5626 §4.4.1: not all at once.
            sleep(every.mul_f64(0.8 + 0.2 * chance())).await;
            self.flows.udp.keep_alive(host).await;
        }
    }

    async fn register(&mut self, expires: Duration) -> Outcome {
        let Account {
            host,
            port,
            transport,
            ..
        } = &self.account;
        let located = self.flows.locator.locate(host, *port, *transport).await;
        let mut hosts = located.unwrap_or_default();
        // Who has registered us is asked again as long as it answers: not all registrars share what they know.
        if let Some(at) = hosts.iter().position(|host| self.host == Some(host.address)) {
            let host = hosts.remove(at);
            hosts.insert(0, host);
        }
        self.host = None;
        let mut outcome = Outcome::Failed {
            fault: RegistrationFault::Unreachable,
            retry_after: None,
        };
        for (at, host) in hosts.iter().enumerate() {
            let is_last = at + 1 == hosts.len();
            let response = self.ask_host(host, is_last, expires).await;
            let Some(response) = response else {
                self.flows.locator.failed(host, None);
                continue;
            };
            outcome = self.outcome(&response, expires);
            if response.status_code.code() != 503 {
                self.flows.locator.answered(host);
                self.host = Some(host.address);
                break;
            }
            // RFC 3263 §4.3.
            self.flows
                .locator
                .failed(host, convert::seconds(&response, "Retry-After"));
        }
        outcome
    }

    async fn ask_host(&mut self, host: &Destination, is_last: bool, expires: Duration) -> Option<Response> {
        let path = match host.transport {
            Transport::Udp => Path::udp(host.address),
            Transport::Tcp | Transport::Tls => self.flows.to(host).await.map(Path::Flow)?,
        };
        self.path = Some(path.clone());
        let patience = (!is_last).then_some(self.t1 * PATIENCE_T1);
        self.ask(host.address, &path, patience, expires).await
    }

    /// Sends REGISTER, again with credentials when it is challenged. `None`: no answer, within `patience` for each.
    async fn ask(
        &mut self,
        host: SocketAddr,
        path: &Path,
        patience: Option<Duration>,
        expires: Duration,
    ) -> Option<Response> {
        let mut credentials: Vec<Header> = Vec::new();
        for _ in 0..MAX_CHALLENGES {
            let mut request = self.request(path, expires)?;
            let uri = request.uri.to_string();
            request.headers.extend(credentials.clone());
            let mut refusals = self.flows.udp.refusals();
            let asking = requests::send(&self.endpoint, request, path, &self.tasks);
            let response = match (patience, path) {
                // Neither is polled again.
                (Some(patience), Path::Udp(_)) => tokio::select! {
                    asked = timeout(patience, asking) => asked.ok()??,
                    () = refusals.of(host) => return None,
                },
                (Some(patience), Path::Flow(_)) => timeout(patience, asking).await.ok()??,
                (None, _) => asking.await?,
            };
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
            retry_after: convert::seconds(response, "Retry-After"),
        };
        match response.status_code.code() {
            200..300 => {
                let ours = self.account.contact_user();
                let granted = granted(response, &ours).or_else(|| asked.is_zero().then_some(asked));
                granted.map_or(failed(RegistrationFault::NotBound), Outcome::Granted)
            }
            423 => convert::seconds(response, "Min-Expires")
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
        .or_else(|| convert::seconds(response, "Expires"));
    granted.filter(|granted| !granted.is_zero())
}
