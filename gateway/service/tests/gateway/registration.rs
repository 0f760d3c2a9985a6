//! Accounts at a real registrar, and calls that come by them.

use std::time::Duration;

use livekit_protocol as proto;
use platform::config::{Registration, SipTransport};
use tokio::time::{Instant, sleep};

use crate::agent::{Agent, Noticed};
use crate::fixture::{FROM, Fixture, NUMBER, PASSWORD, SOON, Wishes, turn};
use crate::kamailio::{Kamailio, LONGEST_S, USER};
use crate::sipp::{self, Sipp};

fn registration(kamailio: &Kamailio, transport: SipTransport, password: &str) -> Registration {
    Registration {
        name: "provider".into(),
        host: kamailio.address.ip().to_string(),
        port: Some(kamailio.address.port()),
        transport,
        user: USER.into(),
        auth_user: USER.into(),
        password: password.into(),
        domain: kamailio.address.to_string(),
        expires: Duration::from_mins(5),
        number: Some(NUMBER.into()),
    }
}

async fn registered(fixture: &Fixture, wanted: bool) {
    // An attempt that nobody answers takes 32 s, and repeats its request every 4 s.
    let deadline = Instant::now() + SOON + Duration::from_secs(2 * LONGEST_S);
    while fixture.gateway.registrations()[0].is_registered != wanted {
        assert!(Instant::now() < deadline, "{:?}", fixture.gateway.registrations());
        sleep(Duration::from_millis(20)).await;
    }
}

/// The agent answers a call to the account, which counts as one to the number.
async fn a_call_comes_by_it(fixture: &Fixture, kamailio: &Kamailio) {
    let mut agent = Agent::join(fixture).await;
    let sipp = Sipp::call(kamailio.address, &sipp::calls_by_proxy(FROM, USER));
    agent.wait_for(Noticed::Status("active".into())).await;
    let caller = fixture.participant().await;
    assert_eq!(caller.attributes["sip.trunkPhoneNumber"], NUMBER);
    sipp.went_by_the_scenario().await;
    agent.wait_for(Noticed::CallerLeft).await;
    fixture.released().await;
}

async fn comes_back_after_a_restart(transport: SipTransport) {
    let turn = turn().await;
    let kamailio = Kamailio::start().await;
    let port = kamailio.address.port();
    let wishes = Wishes {
        registrations: vec![registration(&kamailio, transport, PASSWORD)],
        ..Wishes::default()
    };
    let fixture = Fixture::in_turn(turn, wishes).await;
    fixture.trunk(proto::SipInboundTrunkInfo::default()).await;
    registered(&fixture, true).await;
    a_call_comes_by_it(&fixture, &kamailio).await;

    kamailio.stop();
    registered(&fixture, false).await;
    assert_eq!(fixture.gateway.stats().calls, 0);
    let kamailio = Kamailio::start_at(port).await;
    registered(&fixture, true).await;
    a_call_comes_by_it(&fixture, &kamailio).await;

    // It is taken back at the end: nobody is called who is not there.
    fixture.gateway.shutdown().await;
    assert_eq!(kamailio.status_of("INVITE", USER).await, Some(404));
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_come_by_a_registration_over_udp_before_and_after_the_registrar_restarts() {
    comes_back_after_a_restart(SipTransport::Udp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_come_by_a_registration_over_tcp_before_and_after_the_registrar_restarts() {
    comes_back_after_a_restart(SipTransport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_the_gateway_serves_all_the_same() {
    let turn = turn().await;
    let kamailio = Kamailio::start().await;
    let wishes = Wishes {
        registrations: vec![registration(&kamailio, SipTransport::Udp, "canary-wrong")],
        ..Wishes::default()
    };
    let fixture = Fixture::in_turn(turn, wishes).await;
    fixture.trunk(proto::SipInboundTrunkInfo::default()).await;
    let deadline = Instant::now() + SOON;
    loop {
        let health = fixture.gateway.registrations().remove(0);
        if let Some(fault) = health.fault {
            assert_eq!(
                (fault.as_str(), health.is_registered),
                ("the credentials are refused", false)
            );
            break;
        }
        assert!(Instant::now() < deadline, "no word of it");
        sleep(Duration::from_millis(20)).await;
    }
    let call = fixture.dial().await;
    fixture.participant().await;
    call.hang_up().await;
    fixture.released().await;
    crate::logs::assert_free_of(&["canary-wrong"]);
    fixture.stop().await;
}
