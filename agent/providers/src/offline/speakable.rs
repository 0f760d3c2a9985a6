//! What offline synthesis is given, and what of its sound is passed on.

/// Pieces of 200 ms at 16 kHz: small enough for playout to begin, large enough to cost nothing.
const PIECE_SAMPLES: usize = 3_200;
/// Longer texts are no sentences.
pub(super) const MAX_CHARS: usize = 2_000;
/// −47 dBFS: above the noise of the synthesisers, below any sound of speech.
const AUDIBLE: u16 = 150;

/// `text` without what the programs take for commands: control characters and the brackets of espeak's `[[phonemes]]`.
/// `None` when nothing in it can be spoken.
pub(super) fn speakable(text: &str) -> Option<String> {
    let mut clean = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let word = word.replace(['[', ']'], "");
        if !word.is_empty() {
            if !clean.is_empty() {
                clean.push(' ');
            }
            clean.push_str(&word);
        }
    }
    clean.chars().any(char::is_alphanumeric).then_some(clean)
}

/// Cuts the silence before the first sound down to 20 ms, since the caller waits through it (flite begins with 0.2 s),
/// and the rest into pieces.
pub(super) fn pieces(samples: &[i16], sample_rate_hz: u32) -> Vec<Vec<i16>> {
    let first_sound = samples
        .iter()
        .position(|sample| sample.unsigned_abs() > AUDIBLE)
        .unwrap_or(0);
    let start = first_sound.saturating_sub(audio::frame_samples(sample_rate_hz));
    samples
        .get(start..)
        .unwrap_or_default()
        .chunks(PIECE_SAMPLES)
        .map(<[i16]>::to_vec)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_the_programs_are_taken_out() {
        assert_eq!(
            speakable("Hello\u{1}10P [[h@l'oU]]\n you").unwrap(),
            "Hello 10P h@l'oU you"
        );
        assert_eq!(speakable("[[[[ ]]]]"), None);
        assert_eq!(speakable(" … !\u{7}"), None);
        assert_eq!(speakable("[]][ a"), Some("a".to_owned()));
    }

    #[test]
    fn leading_silence_is_cut_to_a_frame() {
        let mut samples = vec![3; 5_000];
        samples.extend([1_000; 4_000]);
        let pieces = pieces(&samples, 16_000);
        assert_eq!(pieces.iter().map(Vec::len).sum::<usize>(), 4_000 + 320);
        assert!(pieces.iter().all(|piece| piece.len() <= PIECE_SAMPLES));
    }
}
