//! Questions and answers as they are on the wire (RFC 1035 §4). Pure.

use std::net::IpAddr;
use std::time::Duration;

use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Name, ParsedName, Rtype};
use domain::rdata::{A, Aaaa, Soa, Srv};

use super::Kind;

/// The longest that an answer is believed, whatever it says.
const LONGEST: Duration = Duration::from_hours(1);
/// The same of an answer that there is nothing (RFC 2308 §5): whoever has just set it up is not to wait for long.
const LONGEST_NOTHING: Duration = Duration::from_mins(1);
/// Of one answer.
const MAX_RECORDS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Address(IpAddr),
    Service(Service),
}

/// An SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    /// Fully qualified, without the last dot; empty for "not offered here".
    pub(crate) target: String,
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// That these are all records there are, perhaps none.
    Known { records: Vec<Record>, ttl: Duration },
    /// More than fits into a datagram.
    Truncated,
    /// That it does not know.
    Failed,
}

/// A question, for somebody who asks others (RD).
pub(super) fn question(id: u16, name: &Name<Vec<u8>>, kind: Kind) -> Option<Vec<u8>> {
    let mut message = MessageBuilder::new_vec();
    message.header_mut().set_id(id);
    message.header_mut().set_rd(true);
    let mut message = message.question();
    message.push((name, rtype(kind))).ok()?;
    Some(message.finish())
}

/// Reads an answer; `None` when it is none to this question.
pub(super) fn answer(message: &[u8], question: &[u8], kind: Kind) -> Option<Answer> {
    let message = Message::from_slice(message).ok()?;
    if !message.is_answer(Message::from_slice(question).ok()?) {
        return None;
    }
    Some(match message.header().rcode() {
        _ if message.header().tc() => Answer::Truncated,
        Rcode::NOERROR | Rcode::NXDOMAIN => known(message, kind).unwrap_or(Answer::Failed),
        _ => Answer::Failed,
    })
}

/// `None` when it cannot be read.
fn known(message: &Message<[u8]>, kind: Kind) -> Option<Answer> {
    let records = records(message, kind)?;
    let ttl = if records.is_empty() {
        nothing_for(message).min(LONGEST_NOTHING)
    } else {
        // Aliases on the way count too.
        let mut ttl = LONGEST;
        for record in message.answer().ok()? {
            ttl = ttl.min(seconds(record.ok()?.ttl()));
        }
        ttl
    };
    Some(Answer::Known { records, ttl })
}

/// Of the question's name, or of what it is an alias of.
fn records(message: &Message<[u8]>, kind: Kind) -> Option<Vec<Record>> {
    let name = message.canonical_name()?;
    let section = message.answer().ok()?;
    let mut records = Vec::new();
    match kind {
        Kind::A => {
            for record in section.limit_to_in::<A>() {
                let record = record.ok()?;
                if *record.owner() == name {
                    records.push(Record::Address(record.data().addr().into()));
                }
            }
        }
        Kind::Aaaa => {
            for record in section.limit_to_in::<Aaaa>() {
                let record = record.ok()?;
                if *record.owner() == name {
                    records.push(Record::Address(record.data().addr().into()));
                }
            }
        }
        Kind::Srv => {
            for record in section.limit_to_in::<Srv<ParsedName<_>>>() {
                let record = record.ok()?;
                if *record.owner() == name {
                    records.push(Record::Service(service(record.data())));
                }
            }
        }
    }
    records.truncate(MAX_RECORDS);
    Some(records)
}

fn service<N: AsRef<[u8]>>(data: &Srv<ParsedName<N>>) -> Service {
    let target = data.target();
    Service {
        priority: data.priority(),
        weight: data.weight(),
        port: data.port(),
        target: if target.is_root() {
            String::new()
        } else {
            target.to_string()
        },
    }
}

/// How long it holds that there is nothing: by the zone's SOA; without one it is not kept (RFC 2308 §5).
fn nothing_for(message: &Message<[u8]>) -> Duration {
    let Ok(section) = message.authority() else {
        return Duration::ZERO;
    };
    let mut zones = section.limit_to_in::<Soa<ParsedName<_>>>();
    let zone = zones.find_map(Result::ok);
    zone.map_or(Duration::ZERO, |zone| {
        seconds(zone.ttl()).min(seconds(zone.data().minimum()))
    })
}

fn seconds(ttl: domain::base::Ttl) -> Duration {
    Duration::from_secs(ttl.as_secs().into())
}

fn rtype(kind: Kind) -> Rtype {
    match kind {
        Kind::A => Rtype::A,
        Kind::Aaaa => Rtype::AAAA,
        Kind::Srv => Rtype::SRV,
    }
}

#[cfg(test)]
mod tests {
    use domain::base::Ttl;
    use domain::base::iana::Class;
    use domain::rdata::Cname;

    use super::*;

    fn name(text: &str) -> Name<Vec<u8>> {
        text.parse().expect("a name")
    }

    fn asked(kind: Kind) -> Vec<u8> {
        question(7, &name("trunk.example"), kind).expect("a question")
    }

    /// The answer to `asked`, with a record of each kind: of the name, of its alias, of somebody else.
    fn reply(kind: Kind, id: u16, code: Rcode) -> Vec<u8> {
        let mut message = MessageBuilder::new_vec();
        message.header_mut().set_id(id);
        message.header_mut().set_qr(true);
        message.header_mut().set_rcode(code);
        let mut message = message.question();
        message.push((name("trunk.example"), rtype(kind))).expect("room");
        let mut message = message.answer();
        let ttl = Ttl::from_secs;
        let (host, alias) = (name("host.example"), name("trunk.example"));
        message
            .push((&alias, Class::IN, ttl(30), Cname::new(&host)))
            .expect("room");
        message
            .push((&host, Class::IN, ttl(600), A::from_octets(192, 0, 2, 1)))
            .expect("room");
        message
            .push((
                name("evil.example"),
                Class::IN,
                ttl(600),
                A::from_octets(192, 0, 2, 66),
            ))
            .expect("room");
        let service = Srv::new(10, 60, 5070, &host);
        message
            .push((&host, Class::IN, ttl(7_200), service))
            .expect("room");
        message.finish()
    }

    #[test]
    fn aliases_are_followed_the_shortest_ttl_counts_and_records_of_others_do_not() {
        let read = answer(&reply(Kind::A, 7, Rcode::NOERROR), &asked(Kind::A), Kind::A);
        let records = vec![Record::Address(IpAddr::from([192, 0, 2, 1]))];
        let ttl = Duration::from_secs(30);
        assert_eq!(read, Some(Answer::Known { records, ttl }));
        let read = answer(&reply(Kind::Srv, 7, Rcode::NOERROR), &asked(Kind::Srv), Kind::Srv);
        let service = Service {
            priority: 10,
            weight: 60,
            port: 5070,
            target: "host.example".into(),
        };
        let records = vec![Record::Service(service)];
        assert_eq!(read, Some(Answer::Known { records, ttl }));
    }

    #[test]
    fn an_answer_to_another_question_is_none_and_a_failure_is_told_from_nothing() {
        let asked = asked(Kind::A);
        assert_eq!(answer(&reply(Kind::A, 8, Rcode::NOERROR), &asked, Kind::A), None);
        assert_eq!(
            answer(&reply(Kind::Srv, 7, Rcode::NOERROR), &asked, Kind::A),
            None
        );
        assert_eq!(answer(&asked, &asked, Kind::A), None);
        let failed = answer(&reply(Kind::A, 7, Rcode::SERVFAIL), &asked, Kind::A);
        assert_eq!(failed, Some(Answer::Failed));
        let mut truncated = reply(Kind::A, 7, Rcode::NOERROR);
        truncated[2] |= 0b10;
        assert_eq!(answer(&truncated, &asked, Kind::A), Some(Answer::Truncated));
        for length in 0..truncated.len() {
            // Whatever is cut off: no panic, and nothing but a failure or nothing at all.
            let cut = answer(&reply(Kind::A, 7, Rcode::NOERROR)[..length], &asked, Kind::A);
            assert!(matches!(cut, None | Some(Answer::Failed)), "{length}: {cut:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_server_sends_is_read_or_refused(
            kind in proptest::sample::select(vec![Kind::A, Kind::Aaaa, Kind::Srv]),
            changes in proptest::collection::vec((12_usize..200, proptest::num::u8::ANY), 0..12),
            length in 12_usize..400,
        ) {
            let mut message = reply(kind, 7, Rcode::NOERROR);
            for (at, byte) in changes {
                if let Some(changed) = message.get_mut(at) {
                    *changed = byte;
                }
            }
            message.truncate(length);
            if let Some(Answer::Known { records, ttl }) = answer(&message, &asked(kind), kind) {
                proptest::prop_assert!(records.len() <= MAX_RECORDS && ttl <= LONGEST);
            }
        }
    }

    #[test]
    fn that_there_is_nothing_is_kept_as_long_as_the_zone_says() {
        let asked = asked(Kind::Srv);
        let nothing = |zone: Option<(u32, u32)>| {
            let mut message = MessageBuilder::new_vec();
            message.header_mut().set_id(7);
            message.header_mut().set_qr(true);
            message.header_mut().set_rcode(Rcode::NXDOMAIN);
            let mut message = message.question();
            message.push((name("trunk.example"), Rtype::SRV)).expect("room");
            let mut message = message.authority();
            if let Some((ttl, minimum)) = zone {
                let t = Ttl::from_secs(1);
                let (master, minimum) = (name("ns.example"), Ttl::from_secs(minimum));
                let soa = Soa::new(&master, &master, 1.into(), t, t, t, minimum);
                message
                    .push((name("example"), Class::IN, Ttl::from_secs(ttl), soa))
                    .expect("room");
            }
            match answer(&message.finish(), &asked, Kind::Srv) {
                Some(Answer::Known { records, ttl }) if records.is_empty() => ttl.as_secs(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(nothing(None), 0);
        assert_eq!(nothing(Some((50, 20))), 20);
        assert_eq!(nothing(Some((20, 50))), 20);
        assert_eq!(nothing(Some((86_400, 86_400))), 60);
    }
}
