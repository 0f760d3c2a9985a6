//! Accounts at registrars (RFC 3261 §10): we say where calls for them go, again and again.

mod machine;

use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::Transport;
use crate::digest::client::Login;
pub(crate) use machine::{Machine, Outcome};

/// An account. `Debug` shows its name only.
#[derive(Clone)]
pub struct Account {
    /// For logs.
    pub name: String,
    /// Where the registrar is: a name or an address, and its port where that is not the usual one.
    pub host: String,
    pub port: Option<u16>,
    pub transport: Transport,
    /// Of the account's address `sip:user@domain`.
    pub user: String,
    pub domain: String,
    pub login: Login,
    /// What is asked for. The registrar may grant less, or want more.
    pub expires: Duration,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// The user part of the Contact that is registered, which calls for the account have in their Request-URI (RFC 3261 §16.6). Nobody
    /// can guess it who does not know the password, and it is the same after a restart, so that the registrar never has two of it.
    pub fn contact_user(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.host, &self.user, &self.domain, &self.login.password] {
            hash.update(part);
            hash.update([0]);
        }
        hash.finalize()
            .iter()
            .take(10)
            .fold(String::new(), |mut text, byte| {
                // Writing to a String cannot fail.
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

/// How a registration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegistrationStatus {
    /// What the registrar has granted, while it holds. Calls come.
    pub granted: Option<Duration>,
    /// Why the last attempt failed, and in how long the next one is made.
    pub fault: Option<(RegistrationFault, Duration)>,
    /// The host that has answered last; `None` when none has.
    pub host: Option<SocketAddr>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationFault {
    /// DNS does not know the registrar, it does not answer, or, over TLS, it cannot show who it is.
    Unreachable,
    /// It refuses the password, or wants an authentication that we do not know.
    Credentials,
    /// It refuses, by this status.
    Refused(u16),
    /// It agrees, and our address is not among those that it knows afterwards.
    NotBound,
}

impl fmt::Display for RegistrationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("no answer"),
            Self::Credentials => f.write_str("the credentials are refused"),
            Self::Refused(code) => write!(f, "refused with {code}"),
            Self::NotBound => f.write_str("accepted without our address"),
        }
    }
}
