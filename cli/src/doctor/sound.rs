//! Sound: two participants of ours in a room of their own, each of which must hear the other.

use std::{borrow::Cow, time::Duration};

use audio::tone::{Tone, tone_dbfs};
use futures_util::{StreamExt as _, future};
use livekit::{
    options::TrackPublishOptions,
    prelude::{
        LocalAudioTrack, LocalTrack, RemoteAudioTrack, RemoteTrack, Room, RoomEvent, RoomOptions, TrackSource,
    },
    webrtc::{
        audio_frame::AudioFrame,
        audio_source::{AudioSourceOptions, RtcAudioSource, native::NativeAudioSource},
        audio_stream::native::NativeAudioStream,
    },
};
use platform::livekit::{LiveKit, proto};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, timeout},
};

use super::{Area, Finding};

const RATE_HZ: u32 = 48_000;
/// Each says a tone of its own, so that nobody takes its own for the other's.
const TONES_HZ: [f64; 2] = [700.0, 1_300.0];
/// The peak that it is said with, and how loud it must at least arrive; it leaves with -15 dBFS.
const AMPLITUDE: i16 = 8_000;
const HEARD_DBFS: f32 = -30.0;
/// A fifth of a second of the tone, without a gap.
const STRETCH: usize = RATE_HZ as usize / 5;
/// In the source, in milliseconds.
const QUEUE_MS: u32 = 200;
/// How long joining may take; ICE over loopback takes some 50 ms, from afar a second.
const JOIN_LIMIT: Duration = Duration::from_secs(6);
/// How long a track may take to be published, and then its sound.
const PUBLISH_LIMIT: Duration = Duration::from_secs(2);
const HEAR_LIMIT: Duration = Duration::from_secs(3);
/// How long a request to the API or a good-bye may take.
const SHORT: Duration = Duration::from_secs(1);
/// How long the server keeps the room if this program is killed.
const KEPT_S: u32 = 10;

/// Makes a room, tries the sound in it, and removes it.
pub(super) async fn examine(livekit: &LiveKit) -> Vec<Finding> {
    let name = format!("{}{:016x}", webhook::TEST_ROOMS, rand::random::<u64>());
    let api = livekit.within(SHORT);
    let made = api.create_room(proto::CreateRoomRequest {
        name: name.clone(),
        empty_timeout: KEPT_S,
        departure_timeout: 1,
        max_participants: 2,
        ..Default::default()
    });
    if let Err(error) = made.await {
        let says = format!("no room can be made: {error}");
        let remedy = error.remedy().unwrap_or("look at the area `livekit`");
        return vec![Finding::error(Area::Sound, says, remedy)];
    }
    let finding = tried(&api, &name).await;
    // What cannot be removed is empty, and the server removes it by itself.
    let _ = api.delete_room(&name).await;
    vec![finding]
}

/// In the room.
async fn tried(api: &LiveKit, room: &str) -> Finding {
    let started = Instant::now();
    let joining = future::join(Ear::join(api, room, "doctor-1"), Ear::join(api, room, "doctor-2"));
    let (mut one, mut other) = match Box::pin(joining).await {
        (Ok(one), Ok(other)) => (one, other),
        (one, other) => {
            let why = one.as_ref().err().or(other.as_ref().err());
            let why = why.cloned().unwrap_or_default();
            // Before they leave: the server knows how far they came.
            let present = api.list_participants(room).await;
            for ear in [one, other].into_iter().flatten() {
                ear.leave().await;
            }
            return not_joined(&why, present.is_ok_and(|present| !present.is_empty()));
        }
    };
    let joined = started.elapsed();
    let heard = talked(&mut one, &mut other).await;
    future::join(one.leave(), other.leave()).await;
    judged(heard, joined)
}

/// Whether the first and the second have heard the other. Both speak until both have heard, or it is too late.
async fn talked(one: &mut Ear, other: &mut Ear) -> (bool, bool) {
    let published = Box::pin(future::join(one.publish(), other.publish())).await;
    if published != (true, true) {
        return (false, false);
    }
    let [first, second] = TONES_HZ;
    let mut heard = (false, false);
    let speaking = future::join(says(&one.source, first), says(&other.source, second));
    let hearing = future::join(
        async {
            heard.0 = hears(&mut one.events, second).await;
        },
        async {
            heard.1 = hears(&mut other.events, first).await;
        },
    );
    tokio::select! {
        // Both may be cut off: sound, and waiting for sound.
        _ = timeout(HEAR_LIMIT, hearing) => {}
        _ = speaking => {}
    }
    heard
}

fn judged(heard: (bool, bool), joined: Duration) -> Finding {
    let which = match heard {
        (true, true) => {
            let says = format!(
                "goes both ways through a room; joined in {} ms",
                joined.as_millis()
            );
            return Finding::well(Area::Sound, says);
        }
        (false, false) => "two participants have joined a room, and neither hears the other",
        _ => "two participants have joined a room, and only one hears the other",
    };
    Finding::error(
        Area::Sound,
        which,
        "look at livekit-server's log and load, and at firewalls that cut UDP streams short between this machine and its `rtc` ports",
    )
}

/// `is_known`: the server counts a participant, so that signalling has gone well and the media have not.
fn not_joined(why: &str, is_known: bool) -> Finding {
    if is_known {
        return Finding::error(
            Area::Sound,
            "the room takes participants, and no media connection comes about (ICE): there is no sound in any call",
            "open livekit-server's `rtc.udp_port` (or `port_range_start` to `port_range_end`), UDP, and `rtc.tcp_port` to this machine; \
             the address that it tells must be reachable from here: `rtc.node_ip`, or `rtc.use_external_ip: true` behind NAT",
        );
    }
    Finding::error(
        Area::Sound,
        format!("the room cannot be joined by WebSocket: {why}"),
        "check livekit.url; a proxy in front of livekit-server must pass on WebSockets (`Upgrade`) at /rtc",
    )
}

/// A participant that says a tone and listens for another.
struct Ear {
    room: Room,
    events: UnboundedReceiver<RoomEvent>,
    source: NativeAudioSource,
}

impl Ear {
    /// Of kind AGENT, so that no agent comes for it.
    async fn join(api: &LiveKit, room: &str, identity: &str) -> Result<Self, String> {
        let token = api
            .agent_token(room, identity)
            .map_err(|error| error.to_string())?;
        let mut options = RoomOptions::default();
        options.join_retries = 0;
        options.connect_timeout = JOIN_LIMIT;
        let connecting = Box::pin(Room::connect(api.url(), token.expose(), options));
        // Cancel-safe: who is half in the room is out of it when its connection is dropped.
        let (room, events) = timeout(JOIN_LIMIT, connecting)
            .await
            .map_err(|_| format!("nothing within {} s", JOIN_LIMIT.as_secs()))?
            .map_err(|error| error.to_string())?;
        let source = NativeAudioSource::new(AudioSourceOptions::default(), RATE_HZ, 1, QUEUE_MS);
        Ok(Self { room, events, source })
    }

    async fn publish(&self) -> bool {
        let source = RtcAudioSource::Native(self.source.clone());
        let track = LocalAudioTrack::create_audio_track("doctor", source);
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..TrackPublishOptions::default()
        };
        let us = self.room.local_participant();
        let publishing = Box::pin(us.publish_track(LocalTrack::Audio(track), options));
        matches!(timeout(PUBLISH_LIMIT, publishing).await, Ok(Ok(_)))
    }

    async fn leave(self) {
        let _ = timeout(SHORT, Box::pin(self.room.close())).await;
    }
}

/// Without end. The source takes no more than its queue holds, and so sets the pace.
async fn says(source: &NativeAudioSource, frequency_hz: f64) {
    let mut tone = Tone::new(frequency_hz, RATE_HZ, AMPLITUDE);
    loop {
        let mut data = Vec::new();
        tone.fill(audio::frame_samples(RATE_HZ), &mut data);
        let Ok(samples_per_channel) = u32::try_from(data.len()) else {
            return;
        };
        let frame = AudioFrame {
            data: Cow::Owned(data),
            sample_rate: RATE_HZ,
            num_channels: 1,
            samples_per_channel,
        };
        if source.capture_frame(&frame).await.is_err() {
            return;
        }
    }
}

/// Waits for the other's track, and in it for the tone.
async fn hears(events: &mut UnboundedReceiver<RoomEvent>, frequency_hz: f64) -> bool {
    while let Some(event) = events.recv().await {
        if let RoomEvent::TrackSubscribed {
            track: RemoteTrack::Audio(track),
            ..
        } = event
        {
            return hears_in(&track, frequency_hz).await;
        }
    }
    false
}

async fn hears_in(track: &RemoteAudioTrack, frequency_hz: f64) -> bool {
    let mut stream = NativeAudioStream::new(track.rtc_track(), RATE_HZ.cast_signed(), 1);
    let mut stretch: Vec<i16> = Vec::new();
    while let Some(frame) = stream.next().await {
        stretch.extend(frame.data.iter());
        if stretch.len() < STRETCH {
            continue;
        }
        if tone_dbfs(&stretch, frequency_hz, RATE_HZ) > HEARD_DBFS {
            return true;
        }
        stretch.clear();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Severity;

    #[test]
    fn sound_is_well_only_when_it_goes_both_ways() {
        for (heard, severity) in [
            ((true, true), Severity::Well),
            ((true, false), Severity::Error),
            ((false, true), Severity::Error),
            ((false, false), Severity::Error),
        ] {
            assert_eq!(judged(heard, Duration::ZERO).severity, severity, "{heard:?}");
        }
    }
}
