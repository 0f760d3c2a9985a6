//! WAV files (RIFF): 16-bit PCM, mono.

use std::io;

/// A recording at one rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wav {
    /// The sample rate, 1..=384000 Hz.
    pub sample_rate_hz: u32,
    /// The samples.
    pub samples: Vec<i16>,
}

/// Why a file is not a WAV that this module reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WavError {
    /// The first 12 bytes are not a RIFF header of form WAVE.
    #[error("not a RIFF/WAVE file")]
    NotWave,
    /// A chunk says that it is longer than the file.
    #[error("the chunk `{}` ends after the end of the file", .0.escape_ascii())]
    Truncated([u8; 4]),
    /// There is no such chunk (before the samples).
    #[error("the chunk `{}` is missing", .0.escape_ascii())]
    Missing([u8; 4]),
    /// The encoding is not linear PCM (format tag 1).
    #[error("format tag {0} is not linear PCM (1)")]
    NotPcm(u16),
    /// More than one channel, or none.
    #[error("{0} channels instead of one")]
    NotMono(u16),
    /// Samples of another size.
    #[error("{0} bits per sample instead of 16")]
    Not16Bit(u16),
    /// The rate is 0 or absurd.
    #[error("sample rate {0} Hz is out of 1..=384000")]
    BadRate(u32),
}

const HEADER_BYTES: usize = 44;
const PCM: u16 = 1;
/// `WAVE_FORMAT_EXTENSIBLE`: the tag proper is the first field of the GUID at the end of the chunk.
const EXTENSIBLE: u16 = 0xFFFE;
const MAX_RATE_HZ: u32 = 384_000;

/// Reads a whole file.
///
/// The length of the last, `data` chunk is a hint only: programs that write WAV to a pipe do not know it
/// (espeak-ng writes 2 GB, others 0 or 4 GB), so that a length beyond the end, or 0, means "to the end of the
/// file". An odd last byte is left out.
pub fn read(file: &[u8]) -> Result<Wav, WavError> {
    let mut rest = file
        .strip_prefix(b"RIFF")
        .and_then(|rest| rest.get(4..))
        .and_then(|rest| rest.strip_prefix(b"WAVE"))
        .ok_or(WavError::NotWave)?;
    let mut sample_rate_hz = None;
    while let Some((&name, after)) = rest.split_first_chunk::<4>() {
        let Some((&length, body)) = after.split_first_chunk::<4>() else {
            return Err(WavError::Truncated(name));
        };
        let length = u32::from_le_bytes(length) as usize;
        if name == *b"data" {
            let sample_rate_hz = sample_rate_hz.ok_or(WavError::Missing(*b"fmt "))?;
            let data = if length == 0 {
                body
            } else {
                body.get(..length).unwrap_or(body)
            };
            let samples = data
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&bytes| i16::from_le_bytes(bytes))
                .collect();
            return Ok(Wav {
                sample_rate_hz,
                samples,
            });
        }
        let chunk = body.get(..length).ok_or(WavError::Truncated(name))?;
        if name == *b"fmt " {
            sample_rate_hz = Some(read_format(chunk)?);
        }
        // Chunks are padded to even lengths.
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    Err(WavError::Missing(*b"data"))
}

/// Writes a whole file.
pub fn write(out: &mut impl io::Write, samples: &[i16], sample_rate_hz: u32) -> io::Result<()> {
    let bytes = u32::try_from(samples.len() * 2)
        .ok()
        .filter(|bytes| *bytes < u32::MAX - HEADER_BYTES as u32)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a WAV file holds less than 4 GB"))?;
    let mut file = Vec::with_capacity(HEADER_BYTES + samples.len() * 2);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(bytes + HEADER_BYTES as u32 - 8).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend_from_slice(&sample_rate_hz.to_le_bytes());
    file.extend_from_slice(&sample_rate_hz.saturating_mul(2).to_le_bytes());
    file.extend_from_slice(b"\x02\0\x10\0data");
    file.extend_from_slice(&bytes.to_le_bytes());
    file.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    out.write_all(&file)
}

fn read_format(chunk: &[u8]) -> Result<u32, WavError> {
    let missing = WavError::Truncated(*b"fmt ");
    let u16_at = |at: usize| {
        chunk
            .get(at..at + 2)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u16::from_le_bytes)
            .ok_or(missing)
    };
    let tag = match u16_at(0)? {
        EXTENSIBLE => u16_at(24)?,
        tag => tag,
    };
    if tag != PCM {
        return Err(WavError::NotPcm(tag));
    }
    match (u16_at(2)?, u16_at(14)?) {
        (1, 16) => {}
        (1, bits) => return Err(WavError::Not16Bit(bits)),
        (channels, _) => return Err(WavError::NotMono(channels)),
    }
    let rate = u32::from(u16_at(4)?) | u32::from(u16_at(6)?) << 16;
    if (1..=MAX_RATE_HZ).contains(&rate) {
        Ok(rate)
    } else {
        Err(WavError::BadRate(rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(samples: &[i16]) -> Vec<u8> {
        let mut file = Vec::new();
        write(&mut file, samples, 16_000).unwrap();
        file
    }

    #[test]
    fn each_fault_is_named() {
        let good = written(&[1, 2, 3]);
        let with = |at: usize, value: u16| {
            let mut file = good.clone();
            file[at..at + 2].copy_from_slice(&value.to_le_bytes());
            read(&file)
        };
        assert_eq!(read(b"not audio at all"), Err(WavError::NotWave));
        assert_eq!(with(20, 6), Err(WavError::NotPcm(6)));
        assert_eq!(with(22, 2), Err(WavError::NotMono(2)));
        assert_eq!(with(34, 8), Err(WavError::Not16Bit(8)));
        assert_eq!(with(24, 0), Err(WavError::BadRate(0)));
        assert_eq!(with(16, 9_999), Err(WavError::Truncated(*b"fmt ")));
        assert_eq!(read(&good[..36]), Err(WavError::Missing(*b"data")));
        assert_eq!(
            read(b"RIFF\0\0\0\0WAVEdata\x02\0\0\0\0\0"),
            Err(WavError::Missing(*b"fmt "))
        );
        assert_eq!(
            WavError::Missing(*b"data").to_string(),
            "the chunk `data` is missing"
        );
    }

    #[test]
    fn other_chunks_are_skipped_and_a_streamed_length_is_a_hint() {
        let good = written(&[1, -2, 3]);
        let mut file = good[..36].to_vec();
        file.extend_from_slice(b"LIST\x03\0\0\0abc\0");
        file.extend_from_slice(&good[36..]);
        assert_eq!(read(&file).unwrap().samples, [1, -2, 3]);
        for length in [0, 0x7FFF_F000, u32::MAX] {
            let mut file = good.clone();
            file[40..44].copy_from_slice(&u32::to_le_bytes(length));
            assert_eq!(read(&file).unwrap().samples, [1, -2, 3]);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(samples: Vec<i16>, rate in 1u32..=384_000) {
            let mut file = Vec::new();
            write(&mut file, &samples, rate).unwrap();
            prop_assert_eq!(read(&file), Ok(Wav { sample_rate_hz: rate, samples }));
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>, header: bool) {
            if header {
                bytes.splice(0..0, written(&[])[..36].iter().copied());
            }
            let _ = read(&bytes);
        }

        #[test]
        fn no_mutation_makes_it_panic(at in 0usize..50, value: u8, length in 0usize..=50) {
            let mut file = written(&[1, 2, 3]);
            if let Some(byte) = file.get_mut(at) {
                *byte = value;
            }
            let _ = read(&file[..length.min(file.len())]);
        }
    }
}
