//! `X-Twilio-Signature`: HMAC-SHA1 under the account's token, over the URL and every field in the order of the names.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

pub const HEADER: &str = "x-twilio-signature";

/// The header's value for a request with these form fields; a WebSocket's has none.
pub fn sign(token: &str, url: &str, fields: &[(String, String)]) -> String {
    let mut sorted: Vec<&(String, String)> = fields.iter().collect();
    sorted.sort_unstable();
    // A value that is given twice counts once.
    sorted.dedup();
    let mut signed = url.to_owned();
    for (name, value) in sorted {
        signed.push_str(name);
        signed.push_str(value);
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(signed.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_official_clients() {
        let fields = [("B", "2"), ("A", "1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(sign("tok", "https://x/cb?a=1", &fields), "H20KEP7lki0s99Ip7iPM5fQnwhw=");
        let token = "12345678901234567890123456789012";
        assert_eq!(sign(token, "wss://example.test/media", &[]), "maeMJOlRn7yJ85UDLGj56klFoiI=");
    }
}
