//! What keeps a call honest: session timers (RFC 4028), reliable provisional answers (RFC 3262), offers in the 200, and what is refused.

use std::time::Duration;

use events::EndedBy;
use livekit_protocol as proto;
use platform::config::SipLadder;
use service::Timeouts;
use sip::SessionTimes;

use crate::agent::{Agent, Noticed};
use crate::fixture::{FROM, Fixture, NUMBER, Wishes};
use crate::outbound::{allowed, dial, remove, request, trunk, went_well};
use crate::sipp::{self, Sipp};

/// So short that a test can wait for them.
const TIMES: SessionTimes = SessionTimes {
    expires: Duration::from_secs(4),
    least: Duration::from_secs(2),
};

pub(crate) const SDP: &str = "v=0\no=- 1 1 IN IP4 [media_ip]\ns=-\nc=IN IP4 [media_ip]\nt=0 0\nm=audio [media_port] RTP/AVP 0 101\n\
                   a=rtpmap:0 PCMU/8000\na=rtpmap:101 telephone-event/8000\na=ptime:20\n";

/// A request of a caller played by sipp.
fn says(method: &str, target: &str, via: &str, cseq: u32, more: &str, sdp: &str) -> String {
    let kind = if sdp.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\n"
    };
    let of = if method == "ACK" { "" } else { " retrans=\"500\"" };
    format!(
        "<send{of}><![CDATA[\n{method} {target} SIP/2.0\n{via}\nFrom: <sip:{FROM}@[local_ip]:[local_port]>;tag=uac\n\
         To: <sip:{NUMBER}@[remote_ip]:[remote_port]>[peer_tag_param]\nCall-ID: [call_id]\nCSeq: {cseq} {method}\n\
         Contact: <sip:uac@[local_ip]:[local_port]>\n{more}{kind}Content-Length: [len]\n\n{sdp}\n]]></send>\n"
    )
}

const VIA: &str = "Via: SIP/2.0/UDP [local_ip]:[local_port];branch=[branch]";
pub(crate) const HOPS: &str = "Max-Forwards: 70\n";

pub(crate) fn invite(cseq: u32, more: &str, sdp: &str) -> String {
    let target = format!("sip:{NUMBER}@[remote_ip]:[remote_port]");
    // A second one belongs to no dialog either, though the first was answered.
    says("INVITE", &target, VIA, cseq, more, sdp).replace("[peer_tag_param]", "")
}

pub(crate) fn within(method: &str, cseq: u32, more: &str, sdp: &str) -> String {
    says(method, "[next_url]", VIA, cseq, &format!("{HOPS}{more}"), sdp)
}

/// The ACK of a refusal goes by the INVITE's own branch.
pub(crate) fn ack_refusal(cseq: u32) -> String {
    let target = format!("sip:{NUMBER}@[remote_ip]:[remote_port]");
    says("ACK", &target, "[last_Via:]", cseq, HOPS, "")
}

/// An answer, in which these headers must be like this.
pub(crate) fn answered(code: &str, checks: &[(&str, &str)]) -> String {
    let look = |(at, (header, regexp)): (usize, &(&str, &str))| {
        format!(
            "<ereg regexp=\"{regexp}\" search_in=\"hdr\" header=\"{header}:\" check_it=\"true\" assign_to=\"v{at}\"/>"
        )
    };
    let looks: String = checks.iter().enumerate().map(look).collect();
    let names: Vec<String> = (0..checks.len()).map(|at| format!("v{at}")).collect();
    let optional = "<recv response=\"100\" optional=\"true\"/>\n<recv response=\"180\" optional=\"true\"/>\n";
    let optional = if code == "180" {
        "<recv response=\"100\" optional=\"true\"/>\n"
    } else {
        optional
    };
    let referred = if names.is_empty() {
        String::new()
    } else {
        format!("<Reference variables=\"{}\"/>\n", names.join(","))
    };
    format!(
        "{optional}<recv response=\"{code}\" rrs=\"true\" timeout=\"15000\"><action>{looks}</action></recv>\n{referred}"
    )
}

/// A request of the gateway's, in which a header must be like this.
pub(crate) fn asked(method: &str, header: &str, regexp: &str) -> String {
    format!(
        "<recv request=\"{method}\" timeout=\"15000\"><action><ereg regexp=\"{regexp}\" search_in=\"hdr\" header=\"{header}:\" \
         check_it=\"true\" assign_to=\"asked\"/></action></recv>\n<Reference variables=\"asked\"/>\n"
    )
}

pub(crate) fn replies(more: &str, sdp: &str) -> String {
    let kind = if sdp.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\n"
    };
    format!(
        "<send><![CDATA[\nSIP/2.0 200 OK\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n\
         Contact: <sip:uac@[local_ip]:[local_port]>\n{more}{kind}Content-Length: [len]\n\n{sdp}\n]]></send>\n"
    )
}

pub(crate) fn hangs_up(cseq: u32) -> String {
    within("BYE", cseq, "", "") + "<recv response=\"200\" timeout=\"15000\"/>\n"
}

async fn timed() -> (Fixture, Agent) {
    let fixture = Fixture::wishing(Wishes {
        session: TIMES,
        calls: allowed(),
        ..Wishes::default()
    })
    .await;
    fixture.trunk(proto::SipInboundTrunkInfo::default()).await;
    let agent = Agent::join(&fixture).await;
    (fixture, agent)
}

async fn goes_by(fixture: &Fixture, steps: &[String]) {
    let caller = Sipp::call(fixture.gateway.local_addr(), steps);
    caller.went_by_the_scenario().await;
    fixture.released().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_asks_for_too_brief_a_session_is_told_and_refreshes_by_itself() {
    let (fixture, _agent) = timed().await;
    let wants = |expires: &str| {
        format!("{HOPS}Supported: timer\nAllow: INVITE, ACK, BYE, UPDATE\nSession-Expires: {expires}\n")
    };
    let agreed = [("Session-Expires", "3;refresher=uac"), ("Require", "timer")];
    let steps = [
        invite(1, &wants("1"), SDP),
        answered("422", &[("Min-SE", "2")]),
        ack_refusal(1),
        invite(2, &wants("3"), SDP),
        answered("200", &agreed),
        within("ACK", 2, "", ""),
        // The session would end after two seconds.
        sipp::pause(1_200),
        within(
            "UPDATE",
            3,
            "Supported: timer\nSession-Expires: 3;refresher=uac\n",
            "",
        ),
        answered("200", &agreed),
        sipp::pause(1_200),
        within(
            "UPDATE",
            4,
            "Supported: timer\nSession-Expires: 1;refresher=uac\n",
            "",
        ),
        answered("422", &[("Min-SE", "2")]),
        hangs_up(5),
    ];
    goes_by(&fixture, &steps).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_refresh_is_hung_up_on() {
    let (fixture, mut agent) = timed().await;
    let steps = [
        invite(
            1,
            &format!("{HOPS}Supported: timer\nSession-Expires: 3;refresher=uac\n"),
            SDP,
        ),
        answered("200", &[("Session-Expires", "3;refresher=uac")]),
        within("ACK", 1, "", ""),
        asked("BYE", "Reason", "session expired"),
        replies("", ""),
    ];
    goes_by(&fixture, &steps).await;
    agent.wait_for(Noticed::End("session_expired".into())).await;
    let leg = fixture.leg().await;
    assert_eq!(
        (leg.reason.as_str(), leg.ended_by),
        ("session_expired", EndedBy::Network)
    );
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_refreshes_by_update_or_by_reinvite() {
    let (fixture, _agent) = timed().await;
    let wants = |allow: &str| {
        format!("{HOPS}Supported: timer\nAllow: INVITE, ACK, BYE{allow}\nSession-Expires: 3;refresher=uas\n")
    };
    let agreed = "Session-Expires: 3;refresher=uac\nRequire: timer\n";
    let expires = "3;refresher=uac";
    let steps = [
        invite(1, &wants(", UPDATE"), SDP),
        answered("200", &[("Session-Expires", "3;refresher=uas")]),
        within("ACK", 1, "", ""),
        asked("UPDATE", "Session-Expires", expires),
        replies(agreed, ""),
        asked("UPDATE", "Session-Expires", expires),
        replies(agreed, ""),
        hangs_up(2),
    ];
    goes_by(&fixture, &steps).await;
    let steps = [
        invite(1, &wants(""), SDP),
        answered("200", &[("Session-Expires", "3;refresher=uas")]),
        within("ACK", 1, "", ""),
        asked("INVITE", "Session-Expires", expires),
        replies(agreed, SDP),
        sipp::receive("ACK"),
        // A call that the other side does not know any more.
        asked("INVITE", "Session-Expires", expires),
        replies("", "").replace("200 OK", "481 Call/Transaction Does Not Exist"),
        sipp::receive("ACK"),
        asked("BYE", "Reason", "session expired"),
        replies("", ""),
    ];
    goes_by(&fixture, &steps).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_wants_longer_sessions_and_reliable_answers_gets_them() {
    let (fixture, _agent) = timed().await;
    let ringing = "Require: 100rel\nRSeq: 4711\n";
    let steps = vec![
        asked("INVITE", "Session-Expires", "4"),
        sipp::answer("422 Session Interval Too Small", "Min-SE: 5\n"),
        sipp::receive("ACK"),
        asked("INVITE", "Min-SE", "5"),
        sipp::answer("180 Ringing", ringing),
        asked("PRACK", "RAck", "4711 2 INVITE"),
        sipp::answer_within("200 OK"),
        sipp::answer_with_sdp(
            "200 OK",
            "Allow: INVITE, ACK, BYE, UPDATE\nSession-Expires: 5;refresher=uac\nRequire: timer\n",
        )
        .replace("[last_CSeq:]", "CSeq: 2 INVITE")
        .replace("[last_Via:]", "[$via]")
        .replace("[last_To:];tag=uas[call_number]", "[last_To:]"),
        sipp::receive("ACK"),
        asked("UPDATE", "Session-Expires", "5;refresher=uac"),
        replies("Session-Expires: 5;refresher=uac\nRequire: timer\n", ""),
        sipp::receive("BYE"),
        sipp::answer_within("200 OK"),
    ];
    // The answer to the INVITE goes by the INVITE's Via, not by the PRACK's.
    let mut steps = steps;
    steps[3] = "<recv request=\"INVITE\" timeout=\"15000\"><action>\
                <ereg regexp=\"Via: [^\\r\\n]*\" search_in=\"msg\" check_it=\"true\" assign_to=\"via\"/>\
                <ereg regexp=\"5\" search_in=\"hdr\" header=\"Min-SE:\" check_it=\"true\" assign_to=\"least\"/>\
                </action></recv>\n<Reference variables=\"via,least\"/>\n"
        .to_owned();
    let sipp = Sipp::start(&steps).await;
    let trunk = trunk(&fixture, &sipp).await;
    dial(&fixture, &request(&trunk)).await.expect("answered");
    // Between its first refresh, after two seconds and a half, and the second one.
    tokio::time::sleep(Duration::from_millis(3_750)).await;
    remove(&fixture).await;
    went_well(sipp, &fixture).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_requires_reliable_answers_gets_180_until_it_acknowledges() {
    let fixture = Fixture::wishing(Wishes {
        ladder: SipLadder::Masked,
        ..Wishes::default()
    })
    .await;
    fixture.trunk(proto::SipInboundTrunkInfo::default()).await;
    let steps = [
        invite(1, &format!("{HOPS}Require: 100rel\n"), SDP),
        answered("180", &[("RSeq", "1"), ("Require", "100rel")]),
        // The 180 is repeated after half a second, and a second later; sipp does not count what is the same.
        sipp::pause(2_500),
        within("PRACK", 2, "RAck: 7 1 INVITE\n", ""),
        answered("481", &[]),
        within("PRACK", 3, "RAck: 1 1 INVITE\n", ""),
        answered("200", &[("CSeq", "3 PRACK")]),
        answered("200", &[("CSeq", "1 INVITE")]),
        within("ACK", 1, "", ""),
        sipp::pause(300),
        hangs_up(4),
    ];
    let caller = Sipp::call(fixture.gateway.local_addr(), &steps);
    fixture.participant().await;
    // Beyond the next repeat, had it not been acknowledged.
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    let _agent = Agent::join(&fixture).await;
    caller.went_by_the_scenario().await;
    fixture.released().await;
    let ladders = fixture.kept("calls/", ".txt").await;
    let (_, ladder) = ladders.first().expect("kept");
    let ringing = ladder.lines().filter(|line| line.contains("<-- 180"));
    assert_eq!(ringing.count(), 3, "{ladder}");
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_without_sdp_gets_an_offer_and_is_heard_by_the_answer_in_its_ack() {
    let fixture = Fixture::start(Timeouts::default()).await;
    let agent = Agent::join(&fixture).await;
    let steps = [
        invite(1, HOPS, ""),
        answered("200", &[("Content-Type", "application/sdp")]),
        within("ACK", 1, "", SDP),
        sipp::pause(2_500),
        hangs_up(2),
    ];
    let caller = Sipp::call(fixture.gateway.local_addr(), &steps);
    fixture.participant().await;
    // sipp says back what it hears.
    agent.say(440.0, Duration::from_secs(2)).await;
    caller.went_by_the_scenario().await;
    let level = audio::tone::tone_dbfs(&agent.heard(), 440.0, crate::agent::RATE);
    println!("said, and heard back from the phone: {level:.1} dBFS");
    assert!(level > -40.0, "{level} dBFS");
    fixture.released().await;
    let leg = fixture.leg().await;
    assert_eq!(leg.media.map(|media| media.codec), Some("PCMU".to_owned()));

    // An answer that has nothing of ours.
    let steps = [
        invite(1, HOPS, ""),
        answered("200", &[]),
        within(
            "ACK",
            1,
            "",
            &SDP.replace("AVP 0 101", "AVP 18")
                .replace("PCMU", "G729")
                .replace("rtpmap:0", "rtpmap:18"),
        ),
        asked("BYE", "Reason", "no_common_codec"),
        replies("", ""),
    ];
    goes_by(&fixture, &steps).await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_by_info_count_where_the_phone_has_no_telephone_events() {
    let fixture = Fixture::wishing(Wishes {
        info_dtmf: true,
        ..Wishes::default()
    })
    .await;
    fixture.trunk(proto::SipInboundTrunkInfo::default()).await;
    let mut agent = Agent::join(&fixture).await;
    let info = |cseq: u32, signal: &str| {
        let body = format!("Signal={signal}\nDuration=160\n");
        within("INFO", cseq, "", &body).replace("application/sdp", "application/dtmf-relay")
    };
    let without = SDP
        .replace("AVP 0 101", "AVP 0")
        .replace("a=rtpmap:101 telephone-event/8000\n", "");
    for (sdp, pressed) in [(without.as_str(), vec!["4", "2", "#"]), (SDP, Vec::new())] {
        let steps = [
            invite(1, HOPS, sdp),
            answered("200", &[]),
            within("ACK", 1, "", ""),
            sipp::pause(300),
            info(2, "4"),
            answered("200", &[]),
            info(3, "2"),
            answered("200", &[]),
            info(4, "11"),
            answered("200", &[]),
            sipp::pause(500),
            hangs_up(5),
        ];
        goes_by(&fixture, &steps).await;
        let noticed = agent.until(Noticed::CallerLeft).await;
        let digits: Vec<&str> = noticed
            .iter()
            .filter_map(|it| match it {
                Noticed::Digit(digit) => Some(digit.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(digits, pressed);
    }
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_circles_and_what_requires_the_unknown_is_refused() {
    let fixture = Fixture::start(Timeouts::default()).await;
    for (more, code, checks) in [
        ("Max-Forwards: 0\n", "483", [].as_slice()),
        (
            "Max-Forwards: 70\nRequire: timer, precondition\nRequire: x-nothing\n",
            "420",
            [("Unsupported", "precondition, x-nothing")].as_slice(),
        ),
    ] {
        let steps = [invite(1, more, SDP), answered(code, checks), ack_refusal(1)];
        goes_by(&fixture, &steps).await;
    }
    fixture.stop().await;
}
