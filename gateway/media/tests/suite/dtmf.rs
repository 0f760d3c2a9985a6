use media::{
    Digit,
    dtmf::{Detector, Event},
};
use proptest::prelude::*;

fn event(code: u8, end: bool, duration: u16) -> [u8; 4] {
    Event {
        code,
        end,
        volume: 10,
        duration,
    }
    .bytes()
}

#[test]
fn digits_have_the_codes_of_rfc_4733() {
    for (code, character) in "0123456789*#ABCD".chars().enumerate() {
        let digit = Digit::from_char(character).unwrap();
        assert_eq!((usize::from(digit.code()), digit.to_char()), (code, character));
        assert_eq!(Digit::from_code(digit.code()), Some(digit));
    }
    assert_eq!(Digit::from_char('d').map(Digit::to_char), Some('D'));
    assert_eq!(
        (Digit::from_char('E'), Digit::from_char('é'), Digit::from_code(16)),
        (None, None, None)
    );
}

#[test]
fn digits_of_info_are_read_as_devices_write_them() {
    for (kind, body, digit) in [
        (
            "application/dtmf-relay",
            "Signal=5\r\nDuration=160\r\n",
            Some('5'),
        ),
        (
            "Application/DTMF-Relay; x=y",
            "Duration = 160\nsignal = #",
            Some('#'),
        ),
        ("application/dtmf-relay", "Signal=10", Some('*')),
        ("application/dtmf", " d ", Some('D')),
        ("application/dtmf-relay", "Signal=16", None),
        ("application/dtmf-relay", "Signal=", None),
        ("application/dtmf-relay", "Duration=160", None),
        ("application/dtmf", "", None),
        ("text/plain", "5", None),
    ] {
        let found = media::dtmf::of_info(kind, body.as_bytes());
        assert_eq!(found.map(Digit::to_char), digit, "{kind}: {body}");
    }
    assert_eq!(media::dtmf::of_info("application/dtmf", &[0xFF]), None);
}

#[test]
fn digits_do_not_show_in_logs() {
    assert_eq!(format!("{:?}", Digit::from_char('7')), "Some(Digit(_))");
}

#[test]
fn a_digit_counts_once_however_many_packets_tell_of_it() {
    let mut detector = Detector::default();
    let mut found = Vec::new();
    for (timestamp, code) in [(1_000, 5), (9_000, 5), (20_000, 11)] {
        for (end, duration) in [(false, 160), (false, 320), (true, 480), (true, 480), (true, 480)] {
            found.extend(
                detector
                    .handle(timestamp, &event(code, end, duration))
                    .map(Digit::to_char),
            );
        }
    }
    assert_eq!(found, ['5', '5', '#']);
}

#[test]
fn one_packet_is_enough_whichever_it_is() {
    let mut detector = Detector::default();
    assert!(detector.handle(1_000, &event(1, true, 2_080)).is_some());
    assert!(detector.handle(5_000, &event(1, false, 320)).is_some());
    // A straggler of the digit before counts for nothing.
    assert!(detector.handle(1_000, &event(1, true, 2_080)).is_none());
}

#[test]
fn a_key_held_for_more_than_eight_seconds_is_one_digit() {
    let mut detector = Detector::default();
    assert!(detector.handle(0, &event(3, false, 65_535)).is_some());
    assert!(
        detector.handle(65_535, &event(3, false, 160)).is_none(),
        "the next segment goes on"
    );
    assert!(detector.handle(65_535, &event(3, true, 320)).is_none());
    assert!(
        detector.handle(65_855, &event(3, false, 160)).is_some(),
        "after an end it is pressed again"
    );
}

#[test]
fn other_events_and_short_payloads_are_not_digits() {
    let mut detector = Detector::default();
    assert!(detector.handle(0, &event(16, false, 160)).is_none(), "flash");
    assert!(detector.handle(1, &[1, 2, 3]).is_none());
    assert!(detector.handle(2, &[]).is_none());
}

proptest! {
    #[test]
    fn events_survive_their_bytes(code: u8, end: bool, volume in 0u8..64, duration: u16) {
        let event = Event { code, end, volume, duration };
        prop_assert_eq!(Event::parse(&event.bytes()), Some(event));
    }

    #[test]
    fn nothing_makes_the_detector_panic(packets: Vec<(u32, Vec<u8>)>) {
        let mut detector = Detector::default();
        for (timestamp, payload) in packets {
            detector.handle(timestamp, &payload);
        }
    }
}
