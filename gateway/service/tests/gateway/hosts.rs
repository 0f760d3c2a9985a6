//! Trunks whose address is a name: the hosts behind it, asked of a real name server, played by sipp.

use std::time::Duration;

use dev::NameServer;
use events::{EndedBy, LegHost};
use livekit_protocol as proto;
use platform::livekit::LiveKitError;
use service::Timeouts;
use tokio::time::Instant;

use crate::agent::{Agent, Noticed};
use crate::fixture::{Fixture, ROOM, Wishes};
use crate::outbound::{allowed, dial, remove, request, trunk_over, went_well};
use crate::sipp::{self, Sipp};

async fn fixture(records: &[String]) -> (Fixture, NameServer) {
    let names = NameServer::start(records, Duration::from_mins(10)).await;
    let names = names.expect("a name server");
    let wishes = Wishes {
        calls: allowed(),
        dns: vec![names.address()],
        timeouts: Timeouts::default(),
        ..Wishes::default()
    };
    (Fixture::wishing(wishes).await, names)
}

fn host(name: &str, sipp: &Sipp, priority: u16) -> [String; 2] {
    [
        format!(
            "srv-host=_sip._udp.trunk.test,{name}.trunk.test,{},{priority},0",
            sipp.port
        ),
        format!("host-record={name}.trunk.test,127.0.0.1"),
    ]
}

fn tried(sipp_address: String, fault: Option<&str>) -> LegHost {
    LegHost {
        address: sipp_address,
        transport: "udp".into(),
        fault: fault.map(str::to_owned),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_goes_on_to_the_next_host_of_its_trunk_and_livekit_sees_one_call() {
    let full = Sipp::start(&sipp::refuses("503 Service Unavailable")).await;
    let there = Sipp::start(&sipp::picks_up()).await;
    let records = [host("a", &full, 10), host("b", &there, 20)].concat();
    let (fixture, _names) = fixture(&records).await;
    let mut agent = Agent::join(&fixture).await;
    let trunk = trunk_over(&fixture, "trunk.test", proto::SipTransport::Auto).await;
    dial(&fixture, &request(&trunk)).await.expect("answered");
    agent.wait_for(Noticed::Status("active".into())).await;
    agent.say(440.0, Duration::from_secs(1)).await;
    agent.hears(440.0).await;
    remove(&fixture).await;
    let hosts = [
        tried(full.address(), Some("unavailable")),
        tried(there.address(), None),
    ];
    full.went_by_the_scenario().await;
    went_well(there, &fixture).await;
    let leg = fixture.leg().await;
    assert_eq!(leg.hosts, hosts);
    assert_eq!(leg.status.map(|status| status.code), Some(200));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_costs_seconds_and_one_that_is_silent_alone_ends_the_call() {
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.expect("bound");
    let silent = silent.local_addr().expect("bound");
    let there = Sipp::start(&sipp::refuses("486 Busy Here")).await;
    let mut records = host("b", &there, 20).to_vec();
    records.push(format!(
        "srv-host=_sip._udp.trunk.test,b.trunk.test,{},10,0",
        silent.port()
    ));
    let (fixture, _names) = fixture(&records).await;
    let trunk = trunk_over(&fixture, "trunk.test", proto::SipTransport::Udp).await;
    let begun = Instant::now();
    let error = dial(&fixture, &request(&trunk)).await.expect_err("busy");
    let took = begun.elapsed();
    println!("the next host was asked after {took:?}");
    assert!(
        matches!(error, LiveKitError::Sip { status: 486, .. }),
        "{error:?}"
    );
    // 8·T1, and three times that where the machine is late.
    assert!(
        (Duration::from_secs(4)..Duration::from_secs(12)).contains(&took),
        "{took:?}"
    );
    let busy = there.address();
    went_well(there, &fixture).await;
    let leg = fixture.leg().await;
    let hosts = [tried(silent.to_string(), Some("no_answer")), tried(busy, None)];
    assert_eq!(leg.hosts, hosts);
    assert_eq!(
        (leg.ended_by, leg.reason.as_str()),
        (EndedBy::Phone, "not_put_through")
    );
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_made_the_trunk_is_told_what_dns_says_of_it() {
    let records = [
        "srv-host=_sip._udp.none.test",
        "srv-host=_sip._tcp.none.test,lost.test,5060,1,1",
    ];
    let (fixture, _names) = fixture(&records.map(str::to_owned)).await;
    for (address, transport, expected) in [
        (
            "nobody.test",
            proto::SipTransport::Udp,
            "the trunk's address nobody.test is not known to DNS: correct it, or make a record for it (SRV, or A where sip.listen is IPv4)",
        ),
        (
            "none.test",
            proto::SipTransport::Auto,
            "the trunk's address none.test offers no SIP over udp, says its SRV record: choose another transport for the trunk",
        ),
        (
            "none.test",
            proto::SipTransport::Tcp,
            "the trunk's address none.test is not known to DNS: correct it, or make a record for it (SRV, or A where sip.listen is IPv4)",
        ),
    ] {
        let trunk = trunk_over(&fixture, address, transport).await;
        let error = dial(&fixture, &request(&trunk)).await.expect_err(address);
        let text = error.to_string();
        assert!(text.contains(expected), "{text} lacks {expected}");
        assert!(text.contains("failed_precondition"), "{text}");
    }
    // Nobody has seen a phone that was never dialled.
    let phone = fixture.api.participant(ROOM, "callee-1").await;
    assert!(phone.ok().flatten().is_none());
    fixture.stop().await;
}
