//! Accounts at providers: how their registrations stand, for log and health, and which calls come by them.

use std::collections::HashMap;

use platform::config::{Registration, SipTransport};
use sip::digest::client::Login;
use sip::{Account, Invite, RegistrationFault, RegistrationStatus, Transport};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How a registration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationHealth {
    /// As the configuration calls it.
    pub name: String,
    /// Whether calls come by it.
    pub is_registered: bool,
    /// Why the last attempt failed.
    pub fault: Option<String>,
}

/// All of them, as they stand when asked. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Registrations(Vec<(String, watch::Receiver<RegistrationStatus>)>);

impl Registrations {
    pub(crate) fn new(watched: Vec<(String, watch::Receiver<RegistrationStatus>)>) -> Self {
        Self(watched)
    }

    pub(crate) fn health(&self) -> Vec<RegistrationHealth> {
        let health = |(name, status): &(String, watch::Receiver<RegistrationStatus>)| {
            let status = *status.borrow();
            RegistrationHealth {
                name: name.clone(),
                is_registered: status.granted.is_some(),
                fault: status.fault.map(|(fault, _)| fault.to_string()),
            }
        };
        self.0.iter().map(health).collect()
    }

    /// One task for each, which tells the log.
    pub(crate) fn tellers(&self, stop: &CancellationToken) -> Vec<impl Future<Output = ()> + use<>> {
        let teller = |(name, status): &(String, watch::Receiver<RegistrationStatus>)| {
            tell(name.clone(), status.clone(), stop.clone())
        };
        self.0.iter().map(teller).collect()
    }
}

/// Logs what changes, and not each renewal.
async fn tell(name: String, mut status: watch::Receiver<RegistrationStatus>, stop: CancellationToken) {
    let mut told = RegistrationStatus::default();
    loop {
        let now = *status.borrow_and_update();
        tell_change(&name, told, now);
        told = RegistrationStatus {
            host: now.host.or(told.host),
            ..now
        };
        // Both arms are cancel-safe.
        tokio::select! {
            () = stop.cancelled() => return,
            changed = status.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

fn tell_change(registration: &str, before: RegistrationStatus, now: RegistrationStatus) {
    match (before.granted, now.granted) {
        (None, Some(granted)) => {
            let host = now.host.map(tracing::field::display);
            tracing::info!(registration, host, expires_s = granted.as_secs(), "registered");
        }
        (Some(_), Some(_)) if now.host.is_some() && before.host.is_some() && now.host != before.host => {
            let host = now.host.map(tracing::field::display);
            tracing::info!(registration, host, "registered at another host");
        }
        (Some(_), None) => tracing::error!(registration, "the registration has run out: no call comes by it"),
        _ => {}
    }
    let Some((fault, pause)) = now.fault.filter(|fault| Some(*fault) != before.fault) else {
        return;
    };
    let retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    if now.granted.is_some() {
        tracing::warn!(registration, why = %fault, retry_ms, "not renewed; it still holds");
    } else {
        tracing::error!(registration, why = %fault, retry_ms, remedy = remedy(fault), "not registered");
    }
}

fn remedy(fault: RegistrationFault) -> &'static str {
    match fault {
        RegistrationFault::Unreachable => {
            "check server, port and transport, and what the firewall lets through"
        }
        RegistrationFault::Credentials => "check user, auth_user and password",
        RegistrationFault::Refused(_) => "ask the provider why, or check user and domain",
        RegistrationFault::NotBound => "ask the provider how many addresses the account may have",
    }
}

/// Which calls come by which account.
#[derive(Debug, Default)]
pub(crate) struct ByContact(HashMap<String, Registered>);

#[derive(Debug)]
struct Registered {
    name: String,
    number: Option<String>,
}

impl ByContact {
    pub(crate) fn new(registrations: &[Registration]) -> Self {
        let entries = registrations.iter().map(|registration| {
            let registered = Registered {
                name: registration.name.clone(),
                number: registration.number.clone(),
            };
            (account(registration).contact_user(), registered)
        });
        Self(entries.collect())
    }

    /// Finds the account that a call comes by, and makes the call one for the account's number: what the registrar has put into the
    /// Request-URI is the address that we gave it, which no trunk knows.
    pub(crate) fn claim(&self, invite: &mut Invite) -> Option<&str> {
        let registered = self.0.get(&invite.request_uri.user)?;
        if let Some(number) = &registered.number {
            invite.to.user.clone_from(number);
        }
        invite.request_uri.user.clone_from(&invite.to.user);
        Some(&registered.name)
    }
}

pub(crate) fn account(registration: &Registration) -> Account {
    Account {
        name: registration.name.clone(),
        host: registration.host.clone(),
        port: registration.port,
        transport: match registration.transport {
            SipTransport::Udp => Transport::Udp,
            SipTransport::Tcp => Transport::Tcp,
            SipTransport::Tls => Transport::Tls,
        },
        user: registration.user.clone(),
        domain: registration.domain.clone(),
        login: Login {
            username: registration.auth_user.clone(),
            password: registration.password.expose().to_owned(),
        },
        expires: registration.expires,
    }
}
