//! The sound of a call over the whole path, phone to room and room to phone, by each codec.

use std::time::Duration;

use audio::level::rms_dbfs;
use audio::tone::{Tone, tone_dbfs};
use caller::Codec;
use tokio::time::sleep;

use crate::agent::{Agent, Noticed, RATE};
use crate::fixture::{Fixture, SOON, Wishes, place};
use crate::speech::{at_rate, babble, found_in};

const TONE_HZ: f64 = 1_000.0;
/// Both codecs and the resampling between them may add or take so much.
const TOLERANCE_DB: f32 = 1.0;
/// What comes back is heard at most so much later.
const ECHO: Duration = Duration::from_millis(700);

/// The level of the tone in each half second, every tenth of one, where it is heard at all.
fn levels(heard: &[i16], rate_hz: u32) -> Vec<f32> {
    let (half, tenth) = (rate_hz as usize / 2, rate_hz as usize / 10);
    let windows = heard.windows(half).step_by(tenth);
    windows
        .map(|window| tone_dbfs(window, TONE_HZ, rate_hz))
        .filter(|level| *level > -60.0)
        .collect()
}

/// Of two seconds that were said at `said`: never louder, and as loud for most of the time.
fn is_as_loud(what: &str, said: f32, heard: &[f32]) {
    println!("{what}: said at {said:.2} dBFS, heard in half seconds at {heard:.2?}");
    let as_loud = heard
        .iter()
        .filter(|level| (**level - said).abs() <= TOLERANCE_DB);
    assert!(as_loud.count() >= 10, "{what}: {heard:.2?}, not {said:.2}");
    assert!(heard.iter().all(|level| *level <= said + TOLERANCE_DB), "{what}");
}

async fn sounds_as_it_was_said(codec: Codec) {
    let fixture = Fixture::alone_wishing(Wishes {
        codecs: media::sdp::CODECS.to_vec(),
        ..Wishes::default()
    })
    .await;
    let config = caller::CallerConfig {
        codecs: vec![codec],
        ..fixture.caller()
    };
    let call = place(config).await;
    call.wait_ringing(SOON).await.expect("ringing");
    let mut agent = Agent::join(&fixture).await;
    call.wait_answered(SOON).await.expect("answered");
    agent.wait_for(Noticed::Status("active".into())).await;

    let tone: Vec<i16> = Tone::new(TONE_HZ, 16_000, 6_000).take(32_000).collect();
    call.speak(&tone).await.expect("spoken");
    sleep(ECHO).await;
    let (said, received) = (rms_dbfs(&tone), call.received());
    let name = codec.name();
    is_as_loud(
        &format!("{name}, phone to room"),
        said,
        &levels(&agent.heard(), RATE),
    );
    let back = levels(&received.samples, received.sample_rate_hz);
    is_as_loud(&format!("{name}, and back"), said, &back);

    let spoken = babble(3);
    let heard_before = agent.heard().len();
    call.speak(&spoken).await.expect("spoken");
    sleep(ECHO).await;
    let before = call.received().samples.len();
    // Not an echo: each way by itself, through the codecs of its own.
    agent.utter(&at_rate(&spoken, RATE)).await;
    sleep(ECHO).await;
    let received = call.received();
    let (room, phone) = (&agent.heard()[heard_before..], &received.samples[before..]);
    for (what, heard, rate_hz) in [
        ("phone to room", room, RATE),
        ("room to phone", phone, received.sample_rate_hz),
    ] {
        let matches = found_in(&spoken, heard, rate_hz);
        println!("{name}, {what}: coefficient and lag in ms of each 600 ms of speech: {matches:.2?}");
        let good = matches.iter().filter(|(coefficient, _)| *coefficient >= 0.8);
        assert!(
            good.count() * 5 >= matches.len() * 4,
            "{name}, {what}: {matches:.2?}"
        );
    }
    call.hang_up().await;
    fixture.released().await;
    println!("{name}: {:?}", fixture.leg().await.media);
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_pcmu_it_sounds_as_it_was_said() {
    sounds_as_it_was_said(Codec::Pcmu).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_pcma_it_sounds_as_it_was_said() {
    sounds_as_it_was_said(Codec::Pcma).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_g722_it_sounds_as_it_was_said() {
    sounds_as_it_was_said(Codec::G722).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_opus_it_sounds_as_it_was_said() {
    sounds_as_it_was_said(Codec::Opus).await;
}
