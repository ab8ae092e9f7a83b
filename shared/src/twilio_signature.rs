//! How Twilio signs what it sends: HMAC-SHA1 under the account's token, over the exact URL that it was given and, for a form,
//! over every field behind it. Both `api` (webhooks) and `media` (streams) are asked by Twilio, and verify it here.
//!
//! Facts are from the wire reference, §2.3, with its vectors: fields in the order of their names, each with its distinct values
//! in order, without separators; a WebSocket's upgrade is signed over its `wss://` URL alone.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use url::Url;

/// A form's fields as they came, repeated ones with all their values.
pub type Form = BTreeMap<String, BTreeSet<String>>;

/// The form as it is signed.
#[must_use]
pub fn form(pairs: impl IntoIterator<Item = (String, String)>) -> Form {
    let mut form = Form::new();
    for (name, value) in pairs {
        form.entry(name).or_default().insert(value);
    }
    form
}

/// Whether `signature` (the header `X-Twilio-Signature`) is Twilio's of `url` and `form`. With or without the scheme's usual
/// port: Twilio signs either. Takes the same time however much of it is right.
#[must_use]
pub fn is_genuine(token: &SecretString, url: &str, form: &Form, signature: &str) -> bool {
    let Ok(given) = STANDARD.decode(signature.trim()) else { return false };
    spellings(url).iter().any(|url| keyed(token, url, form).verify_slice(&given).is_ok())
}

fn keyed(token: &SecretString, url: &str, form: &Form) -> Hmac<Sha1> {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(token.expose_secret().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    for (name, values) in form {
        for value in values {
            mac.update(name.as_bytes());
            mac.update(value.as_bytes());
        }
    }
    mac
}

/// The URL as given, and with the port that its scheme means written out.
fn spellings(text: &str) -> Vec<String> {
    let mut found = vec![text.to_owned()];
    let Ok(url) = Url::parse(text) else { return found };
    let Some(host) = url.host_str().filter(|_| url.port().is_none()) else { return found };
    let Some(port) = url.port_or_known_default() else { return found };
    // `Url` drops a port that is the usual one, so that it is put behind the host by hand.
    let authority = format!("://{host}");
    for (from, to) in
        [(format!("{authority}:{port}"), authority.clone()), (authority.clone(), format!("{authority}:{port}"))]
    {
        if let Some((scheme, rest)) = text.split_once(&from)
            && !rest.starts_with(':')
        {
            found.push(format!("{scheme}{to}{rest}"));
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "12345678901234567890123456789012";

    fn check(token: &str, url: &str, fields: &[(&str, &str)], signature: &str) -> bool {
        let pairs = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        is_genuine(&token.into(), url, &form(pairs), signature)
    }

    #[test]
    fn the_official_clients_signatures_are_genuine() {
        assert!(check("tok", "https://x/cb?a=1", &[("B", "2"), ("A", "1")], "H20KEP7lki0s99Ip7iPM5fQnwhw="));
        let fields = [
            ("CallSid", "CA00000000000000000000000000000001"),
            ("CallStatus", "completed"),
            ("From", "+14155550101"),
            ("To", "+14155550100"),
        ];
        let signature = "8Cwog09VDIU+OS9kAJlg+kTvPlI=";
        assert!(check(TOKEN, "https://example.test/twilio/status", &fields, signature));
        assert!(check(TOKEN, "wss://example.test/media", &[], "maeMJOlRn7yJ85UDLGj56klFoiI="));
        for (token, url, fields) in [
            ("another", "https://example.test/twilio/status", &fields[..]),
            (TOKEN, "http://example.test/twilio/status", &fields),
            (TOKEN, "https://example.test/twilio/status?x=1", &fields),
            (TOKEN, "https://example.test/twilio/status", &fields[1..]),
        ] {
            assert!(!check(token, url, fields, signature), "{token} {url} {fields:?}");
        }
        assert!(!check(TOKEN, "wss://example.test/media", &[], "not base64"));
        assert!(!check(TOKEN, "wss://example.test/media", &[], ""));
    }

    #[test]
    fn a_url_is_the_same_with_and_without_the_usual_port() {
        let signature = "maeMJOlRn7yJ85UDLGj56klFoiI=";
        assert!(check(TOKEN, "wss://example.test:443/media", &[], signature));
        assert!(!check(TOKEN, "wss://example.test:8443/media", &[], signature));
        assert_eq!(
            spellings("https://example.test/a?b=1"),
            ["https://example.test/a?b=1", "https://example.test:443/a?b=1"]
        );
        assert_eq!(spellings("http://127.0.0.1:8000/a"), ["http://127.0.0.1:8000/a"]);
    }
}
