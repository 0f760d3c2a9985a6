//! Identifiers of clients, servers and requests.

use rand::Rng as _;

const LENGTH: usize = 12;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What an identifier names; it decides the prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Id {
    /// `CLI_…`
    Client,
    /// `SRV_…`
    Server,
    /// `REQ_…`
    Request,
    /// `SCL_…`, a SIP call
    SipCall,
}

impl Id {
    /// A fresh identifier: the prefix and twelve random alphanumerics.
    pub fn generate(self) -> String {
        let prefix = match self {
            Id::Client => "CLI_",
            Id::Server => "SRV_",
            Id::Request => "REQ_",
            Id::SipCall => "SCL_",
        };
        let mut rng = rand::rng();
        let mut id = String::from(prefix);
        id.extend((0..LENGTH).filter_map(|_| {
            ALPHABET
                .get(rng.random_range(0..ALPHABET.len()))
                .map(|&b| char::from(b))
        }));
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_prefix_and_twelve_alphanumerics() {
        let id = Id::Request.generate();
        let random = id.strip_prefix("REQ_").expect("prefix");
        assert_eq!(random.len(), 12);
        assert!(random.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_ne!(id, Id::Request.generate());
    }
}
