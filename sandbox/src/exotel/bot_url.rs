//! A bot's URL as Exotel dials it: user info becomes Basic credentials, the query becomes
//! `custom_parameters`, and what is left is connected to.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use url::Url;

/// Limits of the Voicebot applet's custom parameters.
const MAX_PARAMETERS: usize = 3;
const MAX_PARAMETERS_CHARS: usize = 256;

/// A bot's address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotUrl {
    pub url: Url,
    /// The whole header value, `Basic …`.
    pub authorization: Option<String>,
    pub custom_parameters: BTreeMap<String, String>,
    /// Parameters beyond the carrier's limits, which it drops.
    pub dropped_parameters: usize,
    pub sample_rate: u64,
}

impl BotUrl {
    /// `keep_sample_rate` leaves `?sample-rate=` in the request line: mode C's official samples read
    /// it there, while applet URLs arrive without any query.
    pub fn take_apart(mut url: Url, keep_sample_rate: bool) -> Self {
        let authorization = (!url.username().is_empty()).then(|| {
            let decode = |text: &str| percent_decode(text);
            let pair = format!("{}:{}", decode(url.username()), decode(url.password().unwrap_or_default()));
            format!("Basic {}", BASE64_STANDARD.encode(pair))
        });
        // Both fail only for URLs without a host, which were refused before.
        let _ = url.set_username("");
        let _ = url.set_password(None);

        let mut sample_rate = 8_000;
        let (mut custom_parameters, mut chars, mut dropped_parameters) = (BTreeMap::new(), 0, 0);
        for (name, value) in url.query_pairs() {
            if matches!(&*name, "sample-rate" | "sample_rate") {
                if let Ok(rate @ (8_000 | 16_000 | 24_000)) = value.parse() {
                    sample_rate = rate;
                }
                continue;
            }
            chars += name.len() + value.len();
            if custom_parameters.len() == MAX_PARAMETERS || chars > MAX_PARAMETERS_CHARS {
                dropped_parameters += 1;
            } else {
                custom_parameters.insert(name.into_owned(), value.into_owned());
            }
        }
        let kept = (keep_sample_rate && sample_rate != 8_000).then(|| format!("sample-rate={sample_rate}"));
        url.set_query(kept.as_deref());
        Self { url, authorization, custom_parameters, dropped_parameters, sample_rate }
    }
}

fn percent_decode(text: &str) -> String {
    // `form_urlencoded` decodes percent escapes; a literal plus must survive it.
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D"));
    url::form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value.into_owned()).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(url: &str, keep: bool) -> BotUrl {
        BotUrl::take_apart(Url::parse(url).unwrap(), keep)
    }

    #[test]
    fn credentials_and_query_leave_the_url() {
        let bot = apart("ws://bot:p%40ss@127.0.0.1:9000/media/secret?att=a1&lang=hi&sample-rate=16000", false);
        assert_eq!(bot.url.as_str(), "ws://127.0.0.1:9000/media/secret");
        assert_eq!(bot.authorization.as_deref(), Some("Basic Ym90OnBAc3M="));
        assert_eq!(bot.custom_parameters.get("att").map(String::as_str), Some("a1"));
        assert_eq!(bot.sample_rate, 16_000);
    }

    #[test]
    fn parameters_beyond_the_limits_are_dropped() {
        let bot = apart("ws://127.0.0.1/m?a=1&b=2&c=3&d=4", false);
        assert_eq!((bot.custom_parameters.len(), bot.dropped_parameters), (3, 1));
        let bot = apart(&format!("ws://127.0.0.1/m?a={}", "x".repeat(300)), false);
        assert_eq!((bot.custom_parameters.len(), bot.dropped_parameters), (0, 1));
    }

    #[test]
    fn a_direct_stream_keeps_its_sample_rate_in_the_request() {
        assert_eq!(apart("ws://127.0.0.1/m?sample-rate=24000&x=1", true).url.query(), Some("sample-rate=24000"));
        assert_eq!(apart("ws://127.0.0.1/m?x=1", true).url.query(), None);
    }
}
