//! Random names and numbers.

use rand::seq::IndexedRandom as _;

const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";

/// `length` characters of the ice-char alphabet (RFC 8839 §5.4), six random bits each.
pub(crate) fn token(length: usize) -> String {
    let mut random = rand::rng();
    (0..length)
        .filter_map(|_| ALPHABET.choose(&mut random).copied().map(char::from))
        .collect()
}

/// A UUID of version 4 (RFC 9562 §5.4).
pub(crate) fn uuid() -> String {
    let random: u128 = rand::random();
    let versioned = random & !(0xf000_u128 << 64) | (0x4000_u128 << 64);
    let uuid = versioned & !(0xc000_u128 << 48) | (0x8000_u128 << 48);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        uuid >> 96,
        (uuid >> 80) & 0xffff,
        (uuid >> 64) & 0xffff,
        (uuid >> 48) & 0xffff,
        uuid & 0xffff_ffff_ffff
    )
}

/// A stream's first sequence number, from the lower half (RFC 3711 §3.3.1). The receiver counts the turns of the 16 bits by itself, and
/// SRTP's keys depend on the count: were the number to turn while the first packets are lost, as they may be while the other side still
/// sets up, nothing of the stream could ever be read.
pub(crate) fn first_sequence() -> u64 {
    u64::from(rand::random::<u16>() >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_far_from_the_turn_of_its_numbers_when_it_begins() {
        let first: Vec<u64> = (0..1_000).map(|_| first_sequence()).collect();
        assert!(first.iter().all(|&number| number < 1 << 15));
        assert!(first.iter().any(|&number| number != first[0]));
    }

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        for _ in 0..50 {
            let uuid = uuid();
            let parts: Vec<&str> = uuid.split('-').collect();
            assert_eq!(
                parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
                [8, 4, 4, 4, 12]
            );
            assert!(parts[2].starts_with('4'));
            assert!(parts[3].starts_with(['8', '9', 'a', 'b']));
        }
    }

    #[test]
    fn tokens_differ() {
        assert_eq!(token(24).len(), 24);
        assert_ne!(token(24), token(24));
    }
}
