//! Nothing that comes from the network makes the contract panic.

use events::{CallEvent, CallJob, CallRecord, CallState, Party, Timestamp, livekit};
use proptest::{collection::vec, prelude::*};

use crate::samples::{files, webhooks};

fn read_all(body: &[u8]) {
    let _ = (CallJob::decode(body), CallRecord::decode(body));
    let stored = CallEvent::decode(body).ok();
    let now = Timestamp::from_unix_ms(1_795_196_401_592).unwrap();
    let parsed = livekit::parse(body)
        .ok()
        .and_then(|webhook| CallEvent::new(webhook, now, None));
    for event in stored.into_iter().chain(parsed) {
        let state = CallState::fold([&event]).unwrap();
        let record = state.close_unclaimed(None, None, &events::ClosePolicy::default(), now);
        assert!(CallRecord::decode(record.encode()).is_ok());
        assert_eq!(
            CallEvent::decode(event.encode()).unwrap(),
            event,
            "what was read can be stored"
        );
    }
}

/// One change of a body: where (as a fraction of its length), how many bytes go, what comes in their place.
type Mutation = (f64, usize, Vec<u8>);

fn mutated(mut body: Vec<u8>, mutations: &[Mutation]) -> Vec<u8> {
    for (place, remove, insert) in mutations {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a fraction of a length of a few kilobytes"
        )]
        let from = ((body.len() as f64) * place) as usize;
        let to = (from + remove).min(body.len());
        body.splice(from..to, insert.iter().copied());
    }
    body
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..4),
        proptest::sample::select(vec![
            "null",
            "\"\"",
            "{}",
            "[]",
            "-1",
            "1e999",
            "99999999999999999999",
            "\"\\ud800\"",
            "true"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    (0.0..1.0_f64, 0..12_usize, piece)
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in vec(any::<u8>(), 0..512)) {
        read_all(&body);
    }

    #[test]
    fn mutated_samples_never_panic(pick in any::<proptest::sample::Index>(), mutations in vec(mutation(), 1..4)) {
        let bodies: Vec<_> = webhooks().into_iter().chain(files("unrecorded")).chain(files("formats")).collect();
        read_all(&mutated(pick.get(&bodies).1.clone().into_bytes(), &mutations));
    }

    #[test]
    fn any_text_is_some_party_that_can_be_stored(text in any::<String>(), region in proptest::option::of("[A-Z]{2}")) {
        let party = Party::parse(&text, region.and_then(|region| region.parse().ok()));
        let json = serde_json::to_string(&party).unwrap();
        prop_assert_eq!(serde_json::from_str::<Party>(&json).unwrap(), party);
    }
}

#[test]
fn deep_nesting_is_refused() {
    let body = format!("{{\"event\":\"x\",\"room\":{}", "[".repeat(100_000));
    assert!(livekit::parse(body.as_bytes()).is_err());
}
