//! SRTP (RFC 3711), with keys that the SDP carries (RFC 4568). The cryptography is a library's; what is here is what the library leaves
//! to its user: a bound on streams, and no answer to anything that is not authentic.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use rand::RngCore as _;
use rtc_shared::error::Error;
use rtc_srtp::context::Context;
use rtc_srtp::crypto::providers::AwsLcRsCrypto;
use rtc_srtp::option::{srtcp_replay_protection, srtp_replay_protection};
use rtc_srtp::protection_profile::ProtectionProfile;

/// How a stream is encrypted and authenticated (RFC 4568 §6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// AES-128 in counter mode, HMAC-SHA1 of 80 bits.
    Aes128CmSha1_80,
    /// The same, with 32 bits of HMAC-SHA1 on sound.
    Aes128CmSha1_32,
}

impl Suite {
    /// All that there are, the stronger first.
    pub const ALL: [Self; 2] = [Self::Aes128CmSha1_80, Self::Aes128CmSha1_32];

    /// Its name in SDP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128CmSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes128CmSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.name().eq_ignore_ascii_case(name))
    }

    const fn profile(self) -> ProtectionProfile {
        match self {
            Self::Aes128CmSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
            Self::Aes128CmSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        }
    }
}

const KEY_BYTES: usize = 16;
const SALT_BYTES: usize = 14;

/// A master key with its salt. `Debug` shows nothing of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MasterKey([u8; KEY_BYTES + SALT_BYTES]);

impl MasterKey {
    /// A new one, of cryptographic randomness.
    pub fn random() -> Self {
        let mut bytes = [0; KEY_BYTES + SALT_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Of base64, padded or not.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD
            .decode(text)
            .or_else(|_| STANDARD_NO_PAD.decode(text))
            .ok()?;
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// `None` never: lengths and algorithms are fixed by the types. Whoever meets it sends and takes nothing.
    fn context(self, suite: Suite) -> Option<Context> {
        let (key, salt) = self.0.split_at(KEY_BYTES);
        let sound = srtp_replay_protection(REPLAY_WINDOW);
        let reports = srtcp_replay_protection(REPLAY_WINDOW);
        Context::new(
            key,
            salt,
            suite.profile(),
            Some(sound),
            Some(reports),
            &AwsLcRsCrypto,
        )
        .ok()
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

/// What a session is encrypted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SrtpKeys {
    /// How, both ways.
    pub suite: Suite,
    /// Ours, for what we send.
    pub sending: MasterKey,
    /// The peer's, for what it sends.
    pub receiving: MasterKey,
}

/// Packets that may come late or out of order and still be taken: two seconds and a half of sound. Twice as many as RFC 3711 §3.3.2 asks
/// for at least.
const REPLAY_WINDOW: usize = 128;
/// Streams of one peer. A new one comes with each transfer behind it, or restart of its sound.
const MAX_STREAMS: usize = 16;
/// Where a packet says whose it is (RFC 3550 §5.1).
const RTP_SSRC: usize = 8;
/// The same of RTCP (§6.4.1).
const RTCP_SSRC: usize = 4;
/// Behind the index of an SRTCP packet stands its tag, of 80 bits in both suites (RFC 3711 §3.4, RFC 4568 §6.2).
const RTCP_INDEX_FROM_END: usize = 4 + 10;
/// The E bit, before the index.
const RTCP_IS_ENCRYPTED: u8 = 0x80;

/// Encrypts what we send.
pub(crate) struct Protector(Option<Context>);

impl Protector {
    pub(crate) fn new(suite: Suite, key: MasterKey) -> Self {
        Self(key.context(suite))
    }

    /// The packet as it leaves; `None` leaves it out.
    pub(crate) fn rtp(&mut self, packet: &[u8]) -> Option<impl AsRef<[u8]> + use<>> {
        self.0.as_mut()?.encrypt_rtp(packet).ok()
    }

    /// The same of RTCP. It is always encrypted.
    pub(crate) fn rtcp(&mut self, packet: &[u8]) -> Option<impl AsRef<[u8]> + use<>> {
        self.0.as_mut()?.encrypt_rtcp(packet).ok()
    }
}

/// Decrypts what comes, if it is authentic and new.
pub(crate) struct Unprotector {
    suite: Suite,
    key: MasterKey,
    /// The library keeps a state for every SSRC that it is shown, authentic or not. So each has a context of its own, which is kept
    /// only once a packet of it was authentic.
    streams: Vec<(u32, Context)>,
}

/// Why a packet is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rejected {
    /// It is not of whoever has the key, was changed on its way, or is no SRTP at all.
    Unauthentic,
    /// It was here before, or is older than can be told.
    Replayed,
}

impl Unprotector {
    pub(crate) fn new(suite: Suite, key: MasterKey) -> Self {
        Self {
            suite,
            key,
            streams: Vec::new(),
        }
    }

    pub(crate) fn suite(&self) -> Suite {
        self.suite
    }

    pub(crate) fn rtp(&mut self, datagram: &[u8]) -> Result<impl AsRef<[u8]> + use<>, Rejected> {
        self.open(ssrc(datagram, RTP_SSRC)?, |context| context.decrypt_rtp(datagram))
    }

    /// The same of RTCP. What is authentic and not encrypted is refused too: we have not agreed on that (RFC 4568 §6.3.2).
    pub(crate) fn rtcp(&mut self, datagram: &[u8]) -> Result<impl AsRef<[u8]> + use<>, Rejected> {
        let index = datagram.len().checked_sub(RTCP_INDEX_FROM_END);
        let index = index
            .and_then(|at| datagram.get(at))
            .ok_or(Rejected::Unauthentic)?;
        if index & RTCP_IS_ENCRYPTED == 0 {
            return Err(Rejected::Unauthentic);
        }
        self.open(ssrc(datagram, RTCP_SSRC)?, |context| {
            context.decrypt_rtcp(datagram)
        })
    }

    fn open<T>(
        &mut self,
        ssrc: u32,
        decrypt: impl FnOnce(&mut Context) -> rtc_shared::error::Result<T>,
    ) -> Result<T, Rejected> {
        if let Some((_, context)) = self.streams.iter_mut().find(|(known, _)| *known == ssrc) {
            return decrypt(context).map_err(|error| rejected(&error));
        }
        let mut context = self.key.context(self.suite).ok_or(Rejected::Unauthentic)?;
        let opened = decrypt(&mut context).map_err(|error| rejected(&error))?;
        if self.streams.len() == MAX_STREAMS {
            return Err(Rejected::Unauthentic);
        }
        self.streams.push((ssrc, context));
        Ok(opened)
    }
}

fn ssrc(datagram: &[u8], at: usize) -> Result<u32, Rejected> {
    let bytes = datagram.get(at..).and_then(|rest| rest.first_chunk());
    bytes
        .copied()
        .map(u32::from_be_bytes)
        .ok_or(Rejected::Unauthentic)
}

fn rejected(error: &Error) -> Rejected {
    match error {
        Error::SrtpSsrcDuplicated(..) | Error::SrtcpSsrcDuplicated(..) => Rejected::Replayed,
        _ => Rejected::Unauthentic,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rtp::Packet;

    fn packet(sequence: u16, ssrc: u32) -> Vec<u8> {
        let mut datagram = Vec::new();
        Packet {
            marker: false,
            payload_type: 0,
            sequence,
            timestamp: 0,
            ssrc,
            payload: &[0x55; 160],
        }
        .write(&mut datagram);
        datagram
    }

    fn ends(suite: Suite) -> (Protector, Unprotector) {
        let key = MasterKey::random();
        (Protector::new(suite, key), Unprotector::new(suite, key))
    }

    fn sealed(protector: &mut Protector, packet: &[u8]) -> Vec<u8> {
        protector.rtp(packet).unwrap().as_ref().to_vec()
    }

    fn opened(unprotector: &mut Unprotector, datagram: &[u8]) -> Result<Vec<u8>, Rejected> {
        unprotector.rtp(datagram).map(|packet| packet.as_ref().to_vec())
    }

    /// The sequence number begins anew on the way, and neighbours change places.
    #[test]
    fn what_is_sealed_is_opened_once_and_in_any_near_order() {
        for (suite, tag) in [(Suite::Aes128CmSha1_80, 10), (Suite::Aes128CmSha1_32, 4)] {
            let (mut protector, mut unprotector) = ends(suite);
            let packets: Vec<_> = (65_500..65_600_u32).map(|n| packet(n as u16, 7)).collect();
            let mut datagrams: Vec<_> = packets.iter().map(|p| sealed(&mut protector, p)).collect();
            assert_eq!(datagrams[0].len(), packets[0].len() + tag);
            assert!(
                !datagrams[0].windows(8).any(|bytes| bytes == [0x55; 8]),
                "in the clear"
            );
            for pair in datagrams.as_chunks_mut::<2>().0.iter_mut().skip(1) {
                pair.swap(0, 1);
            }
            let mut back: Vec<_> = datagrams
                .iter()
                .map(|datagram| opened(&mut unprotector, datagram).unwrap())
                .collect();
            back.sort_by_key(|packet| Packet::parse(packet).unwrap().sequence.wrapping_add(100));
            assert_eq!(back, packets);
            for datagram in &datagrams {
                assert_eq!(opened(&mut unprotector, datagram), Err(Rejected::Replayed));
            }
        }
    }

    #[test]
    fn a_changed_bit_another_key_and_plain_rtp_are_not_authentic() {
        let (mut protector, mut unprotector) = ends(Suite::Aes128CmSha1_80);
        let datagram = sealed(&mut protector, &packet(1, 7));
        for bit in 0..datagram.len() * 8 {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                opened(&mut unprotector, &changed),
                Err(Rejected::Unauthentic),
                "bit {bit}"
            );
        }
        assert!(
            unprotector.streams.is_empty(),
            "nothing is kept of what is not authentic"
        );
        let mut stranger = Protector::new(Suite::Aes128CmSha1_80, MasterKey::random());
        let foreign = sealed(&mut stranger, &packet(2, 7));
        assert_eq!(opened(&mut unprotector, &foreign), Err(Rejected::Unauthentic));
        assert_eq!(
            opened(&mut unprotector, &packet(3, 7)),
            Err(Rejected::Unauthentic)
        );
        assert_eq!(opened(&mut unprotector, &datagram).unwrap(), packet(1, 7));
    }

    #[test]
    fn reports_are_sealed_and_opened_once_and_never_taken_in_the_clear() {
        for suite in Suite::ALL {
            let (mut protector, mut unprotector) = ends(suite);
            let mut plain = vec![0x80, 201, 0, 1, 0, 0, 0, 7, 0x81, 202, 0, 2, 0, 0, 0, 7];
            plain.extend([1, 2, b'm', b'e']);
            let sealed = protector.rtcp(&plain).unwrap().as_ref().to_vec();
            assert_eq!(sealed.len(), plain.len() + 4 + 10);
            assert_ne!(sealed[8..plain.len()], plain[8..]);
            let mut open = |datagram: &[u8]| unprotector.rtcp(datagram).map(|it| it.as_ref().to_vec());
            assert_eq!(open(&plain), Err(Rejected::Unauthentic));
            for bit in 0..sealed.len() * 8 {
                let mut changed = sealed.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(open(&changed), Err(Rejected::Unauthentic), "bit {bit}");
            }
            assert_eq!(open(&sealed), Ok(plain.clone()));
            assert_eq!(open(&sealed), Err(Rejected::Replayed));
            let again = protector.rtcp(&plain).unwrap().as_ref().to_vec();
            assert_eq!(open(&again), Ok(plain));
        }
    }

    #[test]
    fn streams_of_a_peer_are_bounded() {
        let (mut protector, mut unprotector) = ends(Suite::Aes128CmSha1_32);
        for ssrc in 0..20 {
            let datagram = sealed(&mut protector, &packet(1, ssrc));
            assert_eq!(opened(&mut unprotector, &datagram).is_ok(), ssrc < 16, "{ssrc}");
        }
        assert_eq!(unprotector.streams.len(), MAX_STREAMS);
    }

    #[test]
    fn keys_go_through_their_text_and_show_nothing() {
        let key = MasterKey::random();
        let text = key.to_base64();
        assert_eq!((text.len(), MasterKey::parse(&text)), (40, Some(key)));
        assert_eq!(MasterKey::parse("AAAA"), None);
        assert_eq!(MasterKey::parse("not base64"), None);
        assert_eq!(format!("{key:?}"), "MasterKey(..)");
        assert_ne!(MasterKey::random(), key);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn no_bytes_make_it_panic(first: u8, mut bytes: Vec<u8>) {
            bytes.insert(0, 0x80 | first & 0x3F);
            let (_, mut unprotector) = ends(Suite::Aes128CmSha1_80);
            prop_assert!(unprotector.rtp(&bytes).is_err());
            prop_assert!(unprotector.rtcp(&bytes).is_err());
        }
    }
}
