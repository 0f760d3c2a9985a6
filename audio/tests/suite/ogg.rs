use std::{
    cell::RefCell,
    io::{self, Cursor, Write},
    rc::Rc,
};

use audio::{
    correlate,
    ogg::{Options, OpusWriter, ReadError, Recording, read},
    tone::{Tone, tone_dbfs},
};
use proptest::prelude::*;

use crate::signals::vowel;

/// An output that shows what has been flushed: all that a kill would leave.
#[derive(Clone, Default)]
struct Disk(Rc<RefCell<(Vec<u8>, usize)>>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.1 = disk.0.len();
        Ok(())
    }
}

impl Disk {
    fn flushed(&self) -> Vec<u8> {
        let disk = self.0.borrow();
        disk.0[..disk.1].to_vec()
    }
}

fn record(left: &[i16], right: &[i16], options: &Options) -> Vec<u8> {
    let mut writer = OpusWriter::new(Vec::new(), options).unwrap();
    for (left, right) in left.chunks_exact(320).zip(right.chunks_exact(320)) {
        writer.write(left, right).unwrap();
    }
    writer.finish().unwrap()
}

fn play(file: &[u8]) -> Recording {
    read(Cursor::new(file), 16_000).unwrap()
}

#[test]
fn both_channels_come_back_in_place_and_in_full_length() {
    let left = vowel(320 * 175, 120.0);
    let right: Vec<i16> = Tone::new(440.0, 16_000, 6_000).take(left.len()).collect();
    let recording = play(&record(&left, &right, &Options::default()));
    assert!(recording.complete);
    assert_eq!(
        (recording.left.len(), recording.right.len()),
        (left.len(), right.len())
    );
    for (name, sent, back) in [
        ("left", &left, &recording.left),
        ("right", &right, &recording.right),
    ] {
        // The pre-skip is exact, so that the signal is where it was. A tone matches itself once per period:
        // search less than that.
        let found = correlate::best_lag(sent, back, 15);
        assert!(
            found.lag_samples.abs() <= 1 && found.coefficient > 0.9,
            "{name}: {found:?}"
        );
    }
    let leaked = tone_dbfs(&recording.left[1_600..], 440.0, 16_000) - tone_dbfs(&right, 440.0, 16_000);
    assert!(leaked < -20.0, "right leaks into left at {leaked} dB");
}

#[test]
fn a_killed_writer_leaves_all_but_the_last_second() {
    let disk = Disk::default();
    let mut writer = OpusWriter::new(disk.clone(), &Options::default()).unwrap();
    let voice = vowel(320, 120.0);
    for written in 1..=500u64 {
        writer.write(&voice, &voice).unwrap();
        assert_eq!(writer.frames(), written);
        if written % 70 == 0 {
            let recording = play(&disk.flushed());
            let lost_ms = written * 20 - recording.left.len() as u64 / 16;
            assert!(!recording.complete);
            assert!(lost_ms <= 1_000, "{lost_ms} ms lost after {written} frames");
        }
    }
}

#[test]
fn the_headers_are_those_of_rfc_7845() {
    let options = Options {
        serial: 0xABCD,
        comments: vec![("TITLE".into(), "call".into())],
        ..Options::default()
    };
    let file = record(&[], &[], &options);
    assert_eq!(&file[..4], b"OggS");
    assert_eq!(file[5], 2, "the first page begins the stream");
    assert_eq!(file[14..18], 0xABCDu32.to_le_bytes());
    let head = &file[28..47];
    assert_eq!(&head[..8], b"OpusHead");
    assert_eq!(head[8..10], [1, 2]);
    assert_eq!(
        u16::from_le_bytes([head[10], head[11]]),
        312,
        "pre-skip: 6.5 ms at 48 kHz"
    );
    assert_eq!(head[12..16], 16_000u32.to_le_bytes());
    assert_eq!(head[16..], [0, 0, 0]);
    let tags = file.windows(8).position(|window| window == b"OpusTags").unwrap();
    assert_eq!(&file[47..51], b"OggS", "OpusHead has a page of its own");
    assert!(file[tags..].windows(10).any(|window| window == b"TITLE=call"));
    assert!(play(&file).complete);
    assert_eq!(play(&file).left.len(), 0);
}

#[test]
fn wrong_frames_and_options_are_refused_and_change_nothing() {
    let mut writer = OpusWriter::new(Vec::new(), &Options::default()).unwrap();
    let error = writer.write(&[0; 320], &[0; 160]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(writer.frames(), 0);
    for options in [
        Options {
            bitrate: 1,
            ..Options::default()
        },
        Options {
            complexity: 11,
            ..Options::default()
        },
    ] {
        let error = OpusWriter::new(Vec::new(), &options).err().expect("refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn what_is_not_a_recording_is_named() {
    assert!(matches!(
        read(Cursor::new(b"RIFF"), 16_000),
        Err(ReadError::NotOgg(_))
    ));
    assert!(matches!(
        read(Cursor::new([0; 4_000]), 16_000),
        Err(ReadError::NotOgg(_))
    ));
    let mut file = record(&[], &[], &Options::default());
    assert!(matches!(
        read(Cursor::new(&file), 11_025),
        Err(ReadError::BadRate(11_025))
    ));
    // A changed byte breaks the checksum of its page.
    file[30] ^= 1;
    assert!(matches!(
        read(Cursor::new(&file), 16_000),
        Err(ReadError::NotOgg(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_file_cut_anywhere_plays_as_far_as_its_whole_pages_go(cut in 0usize..20_000) {
        let voice = vowel(320 * 120, 130.0);
        let file = record(&voice, &voice, &Options::default());
        let cut = cut.min(file.len());
        match read(Cursor::new(&file[..cut]), 16_000) {
            Ok(recording) => {
                prop_assert_eq!(recording.complete, cut == file.len());
                prop_assert_eq!(recording.left.len(), recording.right.len());
                prop_assert!(recording.left.len() <= voice.len());
            }
            Err(error) => prop_assert!(matches!(error, ReadError::NotOgg(_)), "{}", error),
        }
    }

    #[test]
    fn no_mutation_makes_the_reader_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let voice = vowel(320 * 60, 130.0);
        let mut file = record(&voice, &voice, &Options::default());
        for (index, value) in changes {
            let length = file.len();
            file[index.index(length)] = value;
        }
        let _ = read(Cursor::new(&file), 16_000);
    }
}
