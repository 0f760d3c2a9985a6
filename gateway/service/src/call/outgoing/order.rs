//! What LiveKit asks to be dialled, checked.

use std::time::Duration;

use bus::sipinternal::CreateParticipant;
use bus::wire::ProtoDuration;
use bus::{Code, Fault};
use media::Digit;
use platform::config::CallsConfig;
use platform::targets::{Policy, Target, TargetError};
use sip::digest::client::Login;
use sip::{Destination, Dialer, LocateError, SipUri, Transport};

/// Digits that are sent after the answer, pauses included.
const MAX_DTMF: usize = 64;

/// A call that may be dialled.
pub(super) struct Order {
    pub(super) request: CreateParticipant,
    /// What it counts as, in the caps.
    pub(super) number: String,
    pub(super) transport: Transport,
    pub(super) to: SipUri,
    pub(super) from: SipUri,
    pub(super) display_name: Option<String>,
    pub(super) login: Option<Login>,
    pub(super) dtmf: Vec<Press>,
    pub(super) ringing: Duration,
    pub(super) longest: Duration,
}

/// A step of the digits that are sent after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Press {
    Digit(Digit),
    /// `w`: half a second.
    Pause,
}

impl Order {
    /// # Errors
    /// What LiveKit is to be told.
    pub(super) fn check(
        request: CreateParticipant,
        targets: &Policy,
        calls: &CallsConfig,
    ) -> Result<Self, Fault> {
        let invalid = |text: &str| Fault::new(Code::InvalidArgument, text);
        for (what, text) in [
            ("sip_call_id", &request.sip_call_id),
            ("room_name", &request.room_name),
            ("participant_identity", &request.participant_identity),
        ] {
            if text.is_empty() || text.len() > 256 {
                return Err(invalid(&format!("{what} is missing or too long")));
            }
        }
        let transport = transport(request.transport)
            .ok_or_else(|| Fault::new(Code::Unimplemented, "this SIP transport is not supported"))?;
        let (host, port) = address(&request.address).ok_or_else(|| invalid("address is no host[:port]"))?;
        let target = target(&request, targets).map_err(refused)?;
        let user = target.user().to_owned();
        if let Some((name, _)) = request
            .headers
            .iter()
            .find(|(name, value)| !sip::is_extra_header(name, value))
        {
            let name: String = name.chars().filter(char::is_ascii_graphic).take(64).collect();
            return Err(invalid(&format!("header {name} cannot be sent")));
        }
        let from_host = match request.hostname.as_str() {
            "" => String::new(),
            host => address(host).ok_or_else(|| invalid("hostname is no host"))?.0,
        };
        let dtmf = presses(&request.dtmf).ok_or_else(|| invalid("dtmf holds what is no digit"))?;
        let is_plain = |text: &str| text.len() <= 128 && !text.chars().any(char::is_control);
        if !is_plain(&request.number)
            || request
                .display_name
                .as_deref()
                .is_some_and(|name| !is_plain(name))
        {
            return Err(invalid("number or display name cannot be sent"));
        }
        let has_login = !request.username.is_empty() && !request.password.is_empty();
        let login = has_login.then(|| Login {
            username: request.username.clone(),
            password: request.password.clone(),
        });
        Ok(Self {
            number: target.as_str().to_owned(),
            transport,
            to: SipUri { user, host, port },
            from: SipUri {
                user: request.number.clone(),
                host: from_host,
                port: None,
            },
            display_name: match &request.display_name {
                None => Some(request.number.clone()).filter(|number| !number.is_empty()),
                Some(name) => Some(name.clone()).filter(|name| !name.is_empty()),
            },
            login,
            dtmf,
            ringing: at_most(calls.ringing_timeout, request.ringing_timeout),
            longest: at_most(calls.max_duration, request.max_call_duration),
            request,
        })
    }

    /// Where the INVITE goes: at least one host, in the order in which they are tried.
    ///
    /// # Errors
    /// What LiveKit is to be told.
    pub(super) async fn destinations(&self, dialer: &Dialer) -> Result<Vec<Destination>, Fault> {
        let SipUri { host, port, .. } = &self.to;
        let located = dialer.locate(host, *port, self.transport).await;
        located.map_err(|error| Fault::new(Code::FailedPrecondition, unlocated(host, self.transport, error)))
    }
}

/// Why nobody knows where the trunk is, and what to do about it.
fn unlocated(host: &str, transport: Transport, error: LocateError) -> String {
    match error {
        LocateError::Unknown => format!(
            "the trunk's address {host} is not known to DNS: correct it, or make a record for it (SRV, or A where sip.listen is IPv4)"
        ),
        LocateError::NotOffered => format!(
            "the trunk's address {host} offers no SIP over {transport}, says its SRV record: choose another transport for the trunk"
        ),
        LocateError::Unanswered => format!(
            "DNS does not answer for the trunk's address {host}: check sip.dns, or without it /etc/resolv.conf, and the firewall"
        ),
    }
}

/// Over a trunk a number is dialled; without one, or where the trunk's host is listed, a user at a host.
fn target(request: &CreateParticipant, targets: &Policy) -> Result<Target, TargetError> {
    let at_host = || {
        let target = targets.check(&format!("sip:{}@{}", request.call_to, request.address), &[])?;
        Ok(target)
    };
    if request.sip_trunk_id.is_empty() {
        return at_host();
    }
    match targets.check(&request.call_to, &[]) {
        Ok(number @ Target::Number(_)) => Ok(number),
        Ok(Target::Sip { .. }) => Err(TargetError::Invalid),
        Err(error @ (TargetError::NotListed | TargetError::Invalid)) => at_host().map_err(|_| error),
        Err(error) => Err(error),
    }
}

/// As LiveKit is told of it: nobody may be dialled who is not listed here, whatever the API said.
pub(in crate::call) fn refused(error: TargetError) -> Fault {
    let code = match error {
        TargetError::Invalid => Code::InvalidArgument,
        _ => Code::PermissionDenied,
    };
    Fault::new(code, format!("the target is refused by calls.targets: {error}"))
}

fn address(text: &str) -> Option<(String, Option<u16>)> {
    let uri = SipUri::at(text)?;
    Some((uri.host, uri.port))
}

fn presses(text: &str) -> Option<Vec<Press>> {
    let press = |c: char| match c {
        'w' => Some(Press::Pause),
        digit => Digit::from_char(digit.to_ascii_uppercase()).map(Press::Digit),
    };
    let presses: Option<Vec<_>> = text.chars().map(press).collect();
    presses.filter(|presses| presses.len() <= MAX_DTMF)
}

/// `SIPTransport`: automatic, which is UDP, UDP, TCP, TLS.
fn transport(number: i32) -> Option<Transport> {
    match number {
        0 | 1 => Some(Transport::Udp),
        2 => Some(Transport::Tcp),
        3 => Some(Transport::Tls),
        _ => None,
    }
}

fn at_most(most: Duration, wanted: Option<ProtoDuration>) -> Duration {
    let wanted = wanted.and_then(ProtoDuration::to_std);
    wanted.map_or(most, |wanted| wanted.min(most))
}

#[cfg(test)]
mod tests {
    use platform::config::Targets;

    use super::*;

    fn policy() -> Policy {
        Policy::new(Targets {
            numbers: vec!["+1555".parse().expect("a prefix")],
            sip_hosts: vec!["pbx.example.com".into(), "10.0.0.9:5070".into()],
            special: Vec::new(),
        })
    }

    fn request() -> CreateParticipant {
        CreateParticipant {
            address: "trunk.example.com:5080".into(),
            number: "+15550200".into(),
            call_to: "+1 (555) 7777-000".into(),
            room_name: "r".into(),
            participant_identity: "phone".into(),
            sip_call_id: "SCL_1".into(),
            sip_trunk_id: "ST_1".into(),
            ..CreateParticipant::default()
        }
    }

    fn check(change: impl FnOnce(&mut CreateParticipant)) -> Result<Order, Fault> {
        let mut request = request();
        change(&mut request);
        Order::check(request, &policy(), &CallsConfig::default())
    }

    #[test]
    fn a_listed_number_is_dialled_at_the_trunk_as_it_was_checked() {
        let order = check(|_| {}).expect("allowed");
        assert_eq!(order.to.user, "+15557777000");
        assert_eq!(
            (order.to.host.as_str(), order.to.port),
            ("trunk.example.com", Some(5080))
        );
        assert_eq!(order.from.user, "+15550200");
        assert_eq!(order.display_name.as_deref(), Some("+15550200"));
        assert!(order.login.is_none());
        let named = check(|r| r.display_name = Some("Shop".into())).expect("allowed");
        assert_eq!(named.display_name.as_deref(), Some("Shop"));
        let none = check(|r| r.display_name = Some(String::new())).expect("allowed");
        assert_eq!(none.display_name, None);
    }

    #[test]
    fn a_number_behind_a_sip_host_counts_as_one_however_it_is_written_and_is_dialled_as_it_was() {
        for user in ["+15557777000", "+1-555-7777000", "+1.555_7777.000"] {
            let order = check(|request| {
                request.call_to = user.into();
                request.address = "pbx.example.com".into();
                request.sip_trunk_id = String::new();
            })
            .expect("allowed");
            assert_eq!(order.number, "+15557777000", "{user}");
            assert_eq!(order.to.user, user);
        }
    }

    #[test]
    fn whoever_is_not_listed_is_not_dialled_whatever_the_api_says() {
        for (call_to, address, trunk, allowed) in [
            ("+15557777", "trunk.example.com", "ST_1", true),
            ("+4930123456", "trunk.example.com", "ST_1", false),
            ("112", "trunk.example.com", "ST_1", false),
            ("+1911", "trunk.example.com", "ST_1", false),
            ("9911", "pbx.example.com", "ST_1", false),
            ("2001", "trunk.example.com", "ST_1", false),
            ("2001", "pbx.example.com", "ST_1", true),
            ("sip:2001@pbx.example.com", "trunk.example.com", "ST_1", false),
            ("2001", "pbx.example.com", "", true),
            ("2001", "10.0.0.9:5070", "", true),
            ("2001", "10.0.0.9", "", false),
            ("+15557777", "pbx.example.com", "", true),
            ("+4930123456", "pbx.example.com", "", false),
            ("+15557777", "trunk.example.com", "", false),
        ] {
            let order = check(|request| {
                request.call_to = call_to.into();
                request.address = address.into();
                request.sip_trunk_id = trunk.into();
            });
            assert_eq!(order.is_ok(), allowed, "{call_to} at {address} over {trunk:?}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_before_anything_is_dialled() {
        let code = |change: fn(&mut CreateParticipant)| check(change).err().map(|fault| fault.code);
        let invalid = Some(Code::InvalidArgument);
        assert_eq!(code(|r| r.room_name = String::new()), invalid);
        assert_eq!(code(|r| r.participant_identity = "x".repeat(257)), invalid);
        assert_eq!(code(|r| r.address = "a b".into()), invalid);
        assert_eq!(code(|r| r.address = "user@host".into()), invalid);
        assert_eq!(code(|r| r.dtmf = "12x".into()), invalid);
        assert_eq!(code(|r| r.number = "1\r\n".into()), invalid);
        assert_eq!(code(|r| drop(r.headers.insert("To".into(), "x".into()))), invalid);
        assert_eq!(
            code(|r| drop(r.headers.insert("X-A".into(), "a\r\nb".into()))),
            invalid
        );
        assert_eq!(code(|r| r.transport = 4), Some(Code::Unimplemented));
    }

    #[test]
    fn digits_and_limits_are_read() {
        let second = |seconds| Some(ProtoDuration { seconds, nanos: 0 });
        let order = check(|r| {
            r.dtmf = "1w#d".into();
            r.ringing_timeout = second(7);
            r.max_call_duration = second(864_000);
        });
        let order = order.expect("allowed");
        let digit = |c| Press::Digit(Digit::from_char(c).expect("a digit"));
        assert_eq!(order.dtmf, [digit('1'), Press::Pause, digit('#'), digit('D')]);
        let calls = CallsConfig::default();
        assert_eq!(
            (order.ringing, order.longest),
            (Duration::from_secs(7), calls.max_duration)
        );
    }
}
