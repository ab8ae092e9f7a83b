//! How we sign what we send to others: HMAC-SHA256 of the body, in `X-Trunkline-Signature`.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

/// The header.
pub const HEADER: &str = "x-trunkline-signature";

/// What stands in it: `sha256=` and the hexadecimal HMAC-SHA256 of the body.
#[must_use]
pub fn of(secret: &SecretString, body: &[u8]) -> String {
    format!("sha256={}", hex(secret, body))
}

/// The hexadecimal HMAC-SHA256 of a message.
#[must_use]
pub fn hex(secret: &SecretString, message: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_that_every_library_computes() {
        // RFC 4231, test case 2.
        assert_eq!(
            of(&"Jefe".into(), b"what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
