//! The audio path of one 20 ms frame: from the telephone through the room to the recording, each step alone
//! and all together.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(
    clippy::indexing_slicing,
    reason = "a codec says how much of its buffer it has filled"
)]

use std::{hint::black_box, io};

use audio::{
    Codec, Concealer, Decoder, Encoder, OpusOptions, Resampler, Vad,
    jitter::{JitterBuffer, Options as JitterOptions, Popped},
    ogg::{Options as OggOptions, OpusWriter},
    tone::Tone,
};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use ropus::{Application, Bitrate, Channels, DecodeMode};

/// Everything that one direction of a G.722 call needs, warmed up.
struct Path {
    sequence: u16,
    payload: Vec<u8>,
    jitter: JitterBuffer,
    decoder: Decoder,
    concealer: Concealer,
    up: Resampler,
    vad: Vad,
    opus: ropus::Encoder,
    pcm: Vec<i16>,
    wide: Vec<i16>,
    probabilities: Vec<f32>,
    packet: Vec<u8>,
}

impl Path {
    fn new() -> Self {
        let mut payload = Vec::new();
        Encoder::new(Codec::G722).encode(&speechlike(320), &mut payload);
        let opus = ropus::Encoder::builder(48_000, Channels::Mono, Application::Voip)
            .bitrate(Bitrate::Bits(32_000))
            .complexity(5)
            .build()
            .expect("valid options");
        Self {
            sequence: 0,
            payload,
            jitter: JitterBuffer::new(JitterOptions::default()),
            decoder: Decoder::new(Codec::G722),
            concealer: Concealer::new(16_000),
            up: Resampler::new(16_000, 48_000).expect("supported rates"),
            vad: Vad::new(),
            opus,
            pcm: Vec::new(),
            wide: Vec::new(),
            probabilities: Vec::new(),
            packet: vec![0; 1_500],
        }
    }

    /// Jitter buffer → G.722 → concealment → voice activity → 48 kHz → Opus: the way of the caller's voice
    /// into the room.
    fn inbound_frame(&mut self) -> usize {
        let now = audio::FRAME * u32::from(self.sequence);
        let timestamp = u32::from(self.sequence) * 160;
        self.jitter.push(self.sequence, timestamp, &self.payload, now);
        self.sequence = self.sequence.wrapping_add(1);
        self.pcm.clear();
        match self.jitter.pop(now) {
            Popped::Packet { payload, .. } => {
                self.decoder.decode(payload, &mut self.pcm);
                self.concealer.good(&mut self.pcm);
            }
            Popped::Missing | Popped::Idle => self.concealer.conceal(320, &mut self.pcm),
        }
        self.probabilities.clear();
        self.vad.push(&self.pcm, &mut self.probabilities);
        self.wide.clear();
        self.up.process(&self.pcm, &mut self.wide);
        self.opus
            .encode(&self.wide, &mut self.packet)
            .expect("a frame of 20 ms")
    }
}

fn speechlike(samples: usize) -> Vec<i16> {
    let tones = [210.0, 640.0, 1_330.0, 2_710.0].map(|hz| Tone::new(hz, 16_000, 3_000));
    let mut out = Vec::new();
    for mut tone in tones {
        let mut one = Vec::new();
        tone.fill(samples, &mut one);
        audio::mix_into(&mut out, &one);
    }
    out
}

fn steps(c: &mut Criterion) {
    let pcm = speechlike(320);
    let mut payload = Vec::new();
    Encoder::new(Codec::G722).encode(&pcm, &mut payload);
    let mut group = c.benchmark_group("frame");

    let (mut encoder, mut out) = (Encoder::new(Codec::G722), Vec::new());
    group.bench_function("g722_encode", |b| {
        b.iter(|| {
            out.clear();
            encoder.encode(black_box(&pcm), &mut out);
        });
    });
    let (mut decoder, mut out) = (Decoder::new(Codec::G722), Vec::new());
    group.bench_function("g722_decode", |b| {
        b.iter(|| {
            out.clear();
            decoder.decode(black_box(&payload), &mut out);
        });
    });
    opus_steps(&mut group);
    for (name, from, to) in [
        ("resample_16_to_48", 16_000, 48_000),
        ("resample_48_to_16", 48_000, 16_000),
    ] {
        let input = speechlike(audio::frame_samples(from));
        let (mut resampler, mut out) = (Resampler::new(from, to).expect("supported rates"), Vec::new());
        group.bench_function(name, |b| {
            b.iter(|| {
                out.clear();
                resampler.process(black_box(&input), &mut out);
            });
        });
    }
    let (mut vad, mut out) = (Vad::new(), Vec::new());
    group.bench_function("vad", |b| {
        b.iter(|| {
            out.clear();
            vad.push(black_box(&pcm), &mut out);
        });
    });
    let (mut concealer, mut out) = (Concealer::new(16_000), Vec::new());
    let mut history = speechlike(3_200);
    group.bench_function("conceal_first_loss", |b| {
        b.iter(|| {
            concealer.good(&mut history);
            out.clear();
            concealer.conceal(320, &mut out);
        });
    });
    group.finish();
}

/// Of the telephone side, as a phone that asks for recovery data gets it.
fn opus_steps(group: &mut BenchmarkGroup<'_, WallTime>) {
    let options = OpusOptions {
        fec: true,
        ..OpusOptions::default()
    };
    let mut wide = Vec::new();
    let mut resampler = Resampler::new(16_000, 48_000).expect("supported rates");
    resampler.process(&speechlike(320 * 50), &mut wide);
    let frames = || wide.chunks_exact(960).cycle();

    let (mut encoder, mut out, mut endless) = (Encoder::with(Codec::Opus, options), Vec::new(), frames());
    group.bench_function("opus_encode", |b| {
        b.iter(|| {
            out.clear();
            encoder.encode(black_box(endless.next().expect("endless")), &mut out);
        });
    });
    let mut encoder = Encoder::with(Codec::Opus, options);
    let packets: Vec<Vec<u8>> = frames()
        .take(50)
        .map(|frame| {
            let mut packet = Vec::new();
            encoder.encode(frame, &mut packet);
            packet
        })
        .collect();
    let (mut decoder, mut out) = (Decoder::new(Codec::Opus), Vec::new());
    let mut packets = packets.iter().cycle();
    group.bench_function("opus_decode", |b| {
        b.iter(|| {
            out.clear();
            decoder.decode(black_box(packets.next().expect("endless")), &mut out)
        });
    });
}

fn whole(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    let mut path = Path::new();
    group.bench_function("inbound_path", |b| b.iter(|| black_box(path.inbound_frame())));

    let packets: Vec<Vec<u8>> = {
        let mut encoder = Path::new().opus;
        let input = speechlike(960 * 50);
        let mut packet = vec![0; 1_500];
        input
            .chunks_exact(960)
            .map(|frame| {
                let length = encoder.encode(frame, &mut packet).expect("a frame of 20 ms");
                packet[..length].to_vec()
            })
            .collect()
    };
    // Opus → 16 kHz → G.722: the way of the agent's voice to the telephone.
    let mut opus = ropus::Decoder::new(16_000, Channels::Mono).expect("a rate of Opus");
    let (mut encoder, mut pcm, mut payload) = (Encoder::new(Codec::G722), vec![0; 1_920], Vec::new());
    let mut packets = packets.iter().cycle();
    group.bench_function("outbound_path", |b| {
        b.iter(|| {
            let packet = packets.next().expect("endless");
            let samples = opus
                .decode(packet, &mut pcm, DecodeMode::Normal)
                .expect("our own packet");
            payload.clear();
            encoder.encode(&pcm[..samples], &mut payload);
        });
    });

    let mut recording = OpusWriter::new(io::sink(), &OggOptions::default()).expect("valid options");
    let (left, right) = (speechlike(320), vec![0; 320]);
    group.bench_function("recording", |b| {
        b.iter(|| recording.write(black_box(&left), &right).expect("a sink"));
    });
    group.finish();
}

criterion_group!(benches, steps, whole);
criterion_main!(benches);
