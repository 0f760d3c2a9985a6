//! What only native platforms have.

pub mod frame_cryptor;
pub mod packet_trailer;

/// A random UUID, version 4 (RFC 9562 §5.4).
pub fn create_random_uuid() -> String {
    crate::engine::ident::uuid()
}
