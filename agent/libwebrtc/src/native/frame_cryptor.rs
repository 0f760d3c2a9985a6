//! End-to-end encryption: of data packets, and (not implemented, fails closed) of media.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    pbkdf2,
};
use parking_lot::Mutex;

use super::packet_trailer::PacketTrailerHandler;
use crate::{
    engine::transceiver::Transceiver, peer_connection_factory::PeerConnectionFactory,
    rtp_receiver::RtpReceiver, rtp_sender::RtpSender,
};

/// PBKDF2 rounds of the original and of the JavaScript client.
const KEY_DERIVATION_ROUNDS: NonZeroU32 = match NonZeroU32::new(100_000) {
    Some(rounds) => rounds,
    None => NonZeroU32::MIN,
};

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EncryptionAlgorithm {
    AesGcm,
    AesCbc,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EncryptionState {
    New,
    Ok,
    EncryptionFailed,
    DecryptionFailed,
    MissingKey,
    KeyRatcheted,
    InternalError,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KeyDerivationAlgorithm {
    PBKDF2,
    HKDF,
}

#[derive(Debug, Clone)]
pub struct EncryptedPacket {
    pub data: Vec<u8>,
    pub iv: Vec<u8>,
    pub key_index: u32,
}

pub struct KeyProviderOptions {
    pub shared_key: bool,
    pub ratchet_window_size: i32,
    pub ratchet_salt: Vec<u8>,
    pub failure_tolerance: i32,
    pub key_ring_size: i32,
    pub key_derivation_algorithm: KeyDerivationAlgorithm,
}

/// The keys of a session, by participant and index. Keys are never printed.
#[derive(Clone)]
pub struct KeyProvider(Arc<Keys>);

struct Keys {
    options: KeyProviderOptions,
    by_slot: Mutex<HashMap<(String, i32), KeyMaterial>>,
}

struct KeyMaterial {
    secret: Vec<u8>,
    /// The AES-128 key made of it, once it has been needed: the derivation takes milliseconds.
    derived: Option<[u8; 16]>,
}

impl KeyProvider {
    pub fn new(options: KeyProviderOptions) -> Self {
        Self(Arc::new(Keys {
            options,
            by_slot: Mutex::default(),
        }))
    }

    pub fn set_shared_key(&self, key_index: i32, key: Vec<u8>) -> bool {
        self.insert(String::new(), key_index, key)
    }

    /// `None`: keys are not ratcheted.
    pub fn ratchet_shared_key(&self, _key_index: i32) -> Option<Vec<u8>> {
        None
    }

    pub fn get_shared_key(&self, key_index: i32) -> Option<Vec<u8>> {
        self.secret(&(String::new(), key_index))
    }

    pub fn set_key(&self, participant_id: String, key_index: i32, key: Vec<u8>) -> bool {
        self.insert(participant_id, key_index, key)
    }

    /// `None`: keys are not ratcheted.
    #[allow(clippy::needless_pass_by_value, reason = "the original's signature")]
    pub fn ratchet_key(&self, _participant_id: String, _key_index: i32) -> Option<Vec<u8>> {
        None
    }

    #[allow(clippy::needless_pass_by_value, reason = "the original's signature")]
    pub fn get_key(&self, participant_id: String, key_index: i32) -> Option<Vec<u8>> {
        self.secret(&self.slot(&participant_id, key_index))
    }

    /// Of no effect: it speaks of media frames.
    pub fn set_sif_trailer(&self, _trailer: Vec<u8>) {}

    fn insert(&self, participant_id: String, key_index: i32, secret: Vec<u8>) -> bool {
        let material = KeyMaterial {
            secret,
            derived: None,
        };
        self.0
            .by_slot
            .lock()
            .insert((participant_id, key_index), material);
        true
    }

    fn secret(&self, slot: &(String, i32)) -> Option<Vec<u8>> {
        let keys = self.0.by_slot.lock();
        keys.get(slot).map(|material| material.secret.clone())
    }

    fn slot(&self, participant_id: &str, key_index: i32) -> (String, i32) {
        let owner = if self.0.options.shared_key {
            String::new()
        } else {
            participant_id.to_owned()
        };
        (owner, key_index)
    }

    /// The AES-128 key: PBKDF2-HMAC-SHA256 over the ratchet salt.
    fn derived(&self, participant_id: &str, key_index: i32) -> Option<[u8; 16]> {
        let mut keys = self.0.by_slot.lock();
        let material = keys.get_mut(&self.slot(participant_id, key_index))?;
        let derived = material.derived.get_or_insert_with(|| {
            let mut key = [0; 16];
            pbkdf2::derive(
                pbkdf2::PBKDF2_HMAC_SHA256,
                KEY_DERIVATION_ROUNDS,
                &self.0.options.ratchet_salt,
                &material.secret,
                &mut key,
            );
            key
        });
        Some(*derived)
    }
}

pub type OnStateChange = Box<dyn FnMut(String, EncryptionState) + Send + Sync>;

/// Encryption of media frames, which this engine does not have. So that nothing leaves in clear that was meant to be secret, a
/// transceiver whose cryptor is enabled neither sends nor plays anything, and the state is `InternalError`.
#[derive(Clone)]
pub struct FrameCryptor {
    participant_id: String,
    transceiver: Arc<Transceiver>,
}

impl FrameCryptor {
    #[allow(clippy::needless_pass_by_value, reason = "the original's signature")]
    pub fn new_for_rtp_sender(
        _factory: &PeerConnectionFactory,
        participant_id: String,
        _algorithm: EncryptionAlgorithm,
        _key_provider: KeyProvider,
        sender: RtpSender,
    ) -> Self {
        Self {
            participant_id,
            transceiver: sender.0,
        }
    }

    #[allow(clippy::needless_pass_by_value, reason = "the original's signature")]
    pub fn new_for_rtp_receiver(
        _factory: &PeerConnectionFactory,
        participant_id: String,
        _algorithm: EncryptionAlgorithm,
        _key_provider: KeyProvider,
        receiver: RtpReceiver,
    ) -> Self {
        Self {
            participant_id,
            transceiver: receiver.0,
        }
    }

    pub fn set_enabled(&self, enabled: bool) {
        if enabled {
            log::error!("media encryption was asked for and is not implemented: the track is silenced");
        }
        self.transceiver.set_sealed(enabled);
    }

    pub fn set_packet_trailer_handler(&self, _handler: &PacketTrailerHandler) {}

    /// Called at once, with `InternalError`, when the cryptor is enabled already.
    pub fn on_state_change(&self, handler: Option<OnStateChange>) {
        if let Some(mut handler) = handler
            && self.transceiver.sealed()
        {
            handler(self.participant_id.clone(), EncryptionState::InternalError);
        }
    }
}

/// Encryption of data packets: AES-128-GCM, a random 96-bit IV, no associated data.
#[derive(Clone)]
pub struct DataPacketCryptor(KeyProvider);

impl DataPacketCryptor {
    /// Whatever the algorithm, AES-GCM is used, as in the original.
    pub fn new(_algorithm: EncryptionAlgorithm, key_provider: KeyProvider) -> Self {
        Self(key_provider)
    }

    /// # Errors
    /// When there is no such key.
    pub fn encrypt(
        &self,
        participant_id: &str,
        key_index: u32,
        data: &[u8],
    ) -> Result<EncryptedPacket, Box<dyn std::error::Error>> {
        let iv: [u8; NONCE_LEN] = rand::random();
        let mut data = data.to_vec();
        self.key(participant_id, key_index)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(iv), Aad::empty(), &mut data)
            .map_err(|_| "the packet cannot be encrypted")?;
        Ok(EncryptedPacket {
            data,
            iv: iv.to_vec(),
            key_index,
        })
    }

    /// # Errors
    /// When there is no such key, or the packet was not made with it.
    pub fn decrypt(
        &self,
        participant_id: &str,
        packet: &EncryptedPacket,
    ) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let mut data = packet.data.clone();
        let nonce =
            Nonce::try_assume_unique_for_key(&packet.iv).map_err(|_| "the IV has the wrong length")?;
        let length = self
            .key(participant_id, packet.key_index)?
            .open_in_place(nonce, Aad::empty(), &mut data)
            .map_err(|_| "the packet cannot be decrypted")?
            .len();
        data.truncate(length);
        Ok(data)
    }

    fn key(&self, participant_id: &str, key_index: u32) -> Result<LessSafeKey, Box<dyn std::error::Error>> {
        let key_index = i32::try_from(key_index)?;
        let key = self
            .0
            .derived(participant_id, key_index)
            .ok_or("there is no such key")?;
        let key = UnboundKey::new(&AES_128_GCM, &key).map_err(|_| "the key is unusable")?;
        Ok(LessSafeKey::new(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cryptor(secret: &[u8]) -> DataPacketCryptor {
        let keys = KeyProvider::new(KeyProviderOptions {
            shared_key: true,
            ratchet_window_size: 0,
            ratchet_salt: b"LKFrameEncryptionKey".to_vec(),
            failure_tolerance: -1,
            key_ring_size: 16,
            key_derivation_algorithm: KeyDerivationAlgorithm::PBKDF2,
        });
        keys.set_shared_key(0, secret.to_vec());
        DataPacketCryptor::new(EncryptionAlgorithm::AesGcm, keys)
    }

    #[test]
    fn a_packet_survives_encryption_with_the_same_key_only() {
        let packet = cryptor(b"one").encrypt("alice", 0, b"hello").unwrap();
        assert_ne!(packet.data, b"hello");
        assert_eq!(cryptor(b"one").decrypt("bob", &packet).unwrap(), b"hello");
        assert!(cryptor(b"two").decrypt("bob", &packet).is_err());
    }

    #[test]
    fn damage_and_missing_keys_are_errors() {
        let cryptor = cryptor(b"one");
        let mut packet = cryptor.encrypt("alice", 0, b"hello").unwrap();
        packet.data[0] ^= 1;
        assert!(cryptor.decrypt("alice", &packet).is_err());
        packet.iv.clear();
        assert!(cryptor.decrypt("alice", &packet).is_err());
        assert!(cryptor.encrypt("alice", 3, b"hello").is_err());
        assert!(cryptor.encrypt("alice", u32::MAX, b"hello").is_err());
    }
}
