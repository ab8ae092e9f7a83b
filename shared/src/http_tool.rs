//! An account's own tools: addresses that the voice agent may ask in the middle of a call ("is flat 302 still free?").
//!
//! A tool is data of the voice agent. Whoever holds its call ([`client`]) sends `POST` with a JSON body, signed with the account's own secret, and gives the
//! model what comes back. It reaches only public addresses: whoever can write a voice agent must not be able to look around in
//! the network that it runs in.

pub mod client;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use secrecy::SecretString;
use serde_json::{Value, json};
use url::{Host, Url};

use crate::id::AccountId;
use crate::signature;

/// Names that the agent's own tools have.
pub const BUILT_IN: &[&str] =
    &["end_call", "record_answer", "schedule_callback", "mark_do_not_call", "transfer_to_human", "send_message"];
/// Of one voice agent: every one is read by the model in every turn.
pub const MOST_TOOLS: usize = 8;
pub const MOST_ARGUMENTS: usize = 12;
/// Nobody waits on the phone for longer.
pub const LONGEST_TIMEOUT_MS: u32 = 7_000;
const SHORTEST_TIMEOUT_MS: u32 = 200;
const LONGEST_DESCRIPTION: usize = 500;
const MOST_OPTIONS: usize = 30;

/// Something to ask an address of the account's.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTool {
    /// What the model calls it: `check_availability`.
    pub name: String,
    /// When to use it and what it gives, for the model.
    pub description: String,
    /// `https`, on a public address.
    pub url: String,
    #[serde(default)]
    pub arguments: Vec<Argument>,
    #[serde(default = "usual_timeout")]
    pub timeout_ms: u32,
}

/// What the model tells a tool.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argument {
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub kind: ArgumentKind,
    /// The only values allowed; for texts.
    #[serde(default)]
    pub options: Vec<String>,
    /// The model may leave it out, and then gives null.
    #[serde(default)]
    pub optional: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArgumentKind {
    #[default]
    Text,
    Number,
    YesNo,
}

const fn usual_timeout() -> u32 {
    4_000
}

impl HttpTool {
    /// What is wrong with it: where within it (a JSON pointer), and what.
    pub fn problems(&self, private_allowed: bool) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut wrong = |at: String, what: String| problems.push((at, what));
        if !is_name(&self.name) {
            wrong("/name".into(), "a name is 1 to 64 lower-case letters, digits and underscores".into());
        } else if BUILT_IN.contains(&self.name.as_str()) {
            wrong("/name".into(), format!("{} is a tool of the agent's own", self.name));
        }
        match self.description.trim().chars().count() {
            0 => wrong("/description".into(), "the model needs to know when to use it".into()),
            count if count > LONGEST_DESCRIPTION => {
                wrong("/description".into(), format!("longer than {LONGEST_DESCRIPTION} characters"));
            }
            _ => {}
        }
        if let Err(problem) = address(&self.url, private_allowed) {
            wrong("/url".into(), problem.into());
        }
        if !(SHORTEST_TIMEOUT_MS..=LONGEST_TIMEOUT_MS).contains(&self.timeout_ms) {
            wrong("/timeout_ms".into(), format!("between {SHORTEST_TIMEOUT_MS} and {LONGEST_TIMEOUT_MS}"));
        }
        if self.arguments.len() > MOST_ARGUMENTS {
            wrong("/arguments".into(), format!("at most {MOST_ARGUMENTS} arguments"));
        }
        for (at, argument) in self.arguments.iter().enumerate() {
            if !is_name(&argument.name) || self.arguments[..at].iter().any(|other| other.name == argument.name) {
                let what = "each argument has a name of its own, of lower-case letters, digits and underscores";
                wrong(format!("/arguments/{at}/name"), what.into());
            }
            if argument.description.chars().count() > LONGEST_DESCRIPTION {
                wrong(format!("/arguments/{at}/description"), format!("longer than {LONGEST_DESCRIPTION} characters"));
            }
            if !argument.options.is_empty()
                && (argument.kind != ArgumentKind::Text || argument.options.len() > MOST_OPTIONS)
            {
                wrong(
                    format!("/arguments/{at}/options"),
                    format!("only a text has options, and at most {MOST_OPTIONS}"),
                );
            }
        }
        problems
    }

    /// The strict JSON schema of its arguments, as every provider of language models takes it.
    pub fn schema(&self) -> Value {
        let property = |argument: &Argument| {
            let kind = match argument.kind {
                ArgumentKind::Text => "string",
                ArgumentKind::Number => "number",
                ArgumentKind::YesNo => "boolean",
            };
            let mut schema = if argument.optional { json!({"type": [kind, "null"]}) } else { json!({"type": kind}) };
            if !argument.description.is_empty() {
                schema["description"] = argument.description.as_str().into();
            }
            if !argument.options.is_empty() {
                let mut options: Vec<Value> = argument.options.iter().map(|option| option.as_str().into()).collect();
                options.extend(argument.optional.then_some(Value::Null));
                schema["enum"] = options.into();
            }
            (argument.name.clone(), schema)
        };
        let properties: serde_json::Map<String, Value> = self.arguments.iter().map(property).collect();
        let required: Vec<&str> = self.arguments.iter().map(|argument| argument.name.as_str()).collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    }
}

/// What a model can call a thing by.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A tool's address, if it may be asked. Whether its host's name leads to a public address is only known when it is asked.
///
/// # Errors
/// A sentence about what is wrong.
pub fn address(url: &str, private_allowed: bool) -> Result<Url, &'static str> {
    let url = Url::parse(url).map_err(|_invalid| "not a web address")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address that everybody with access to the voice agent reads holds no password");
    }
    if private_allowed {
        return if matches!(url.scheme(), "https" | "http") { Ok(url) } else { Err("only https") };
    }
    if url.scheme() != "https" {
        return Err("only https: the request holds what is known about the person");
    }
    let public = match url.host() {
        Some(Host::Ipv4(ip)) => is_public(ip.into()),
        Some(Host::Ipv6(ip)) => is_public(ip.into()),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            name.contains('.')
                && !["localhost", "local", "internal", "arpa"].iter().any(|top| name.rsplit('.').next() == Some(top))
        }
        None => false,
    };
    if public { Ok(url) } else { Err("only public addresses can be reached") }
}

/// Is the address one of the public internet? Everything that IANA's special-purpose registries set aside is not; an IPv6 address
/// that leads to an IPv4 one is judged by that.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let set_aside = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        // Carriers' own (RFC 6598), protocol assignments, old 6to4 relays, benchmarks.
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b));
    !set_aside
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let v4_of = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        // IPv4-mapped, and the old IPv4-compatible form.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => is_public_v4(v4_of(high, low)),
        // NAT64.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(v4_of(high, low)),
        // 6to4.
        [0x2002, high, low, ..] => is_public_v4(v4_of(high, low)),
        // Teredo, benchmarks, ORCHID and the rest of the protocol assignments; documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0xdb8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        // Only 2000::/3 is given out.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// What an account's tools know our requests by: derived from the installation's secret, so that nothing has to be stored.
pub fn signing_secret(installation: &SecretString, account: AccountId) -> SecretString {
    signature::hex(installation, format!("tools of account {account}").as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn tool(url: &str) -> HttpTool {
        serde_json::from_value(json!({"name": "check", "description": "Is it free?", "url": url})).unwrap()
    }

    #[test]
    fn only_public_addresses_are_asked() {
        for url in [
            "http://example.com/a",
            "https://localhost/a",
            "https://api.localhost",
            "https://intranet/a",
            "https://printer.local",
            "https://metadata.google.internal/",
            "https://127.0.0.1/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:a00:1::]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://user:password@example.com/",
            "ftp://example.com/",
            "not a url",
        ] {
            assert!(address(url, false).is_err(), "{url}");
            assert_eq!(tool(url).problems(false).len(), 1, "{url}");
        }
        for url in ["https://api.example.com/stock?project=1", "https://93.184.215.14/", "https://[2606:2800:21f::1]/"]
        {
            assert!(address(url, false).is_ok(), "{url}");
        }
        assert!(address("http://127.0.0.1:9/a", true).is_ok());
    }

    #[test]
    fn a_tool_says_what_is_wrong_with_it_and_where() {
        let tool: HttpTool = serde_json::from_value(json!({
            "name": "end_call", "description": " ", "url": "https://example.com", "timeout_ms": 60_000,
            "arguments": [{"name": "flat"}, {"name": "flat"}, {"name": "Size", "kind": "number", "options": ["1"]}],
        }))
        .unwrap();
        let at: Vec<String> = tool.problems(false).into_iter().map(|(at, _)| at).collect();
        assert_eq!(
            at,
            ["/name", "/description", "/timeout_ms", "/arguments/1/name", "/arguments/2/name", "/arguments/2/options"]
        );
    }

    #[test]
    fn the_schema_is_strict() {
        let tool: HttpTool = serde_json::from_value(json!({
            "name": "check", "description": "d", "url": "https://example.com",
            "arguments": [{"name": "flat", "description": "its number"}, {"name": "floor", "kind": "number", "optional": true},
                {"name": "view", "options": ["lake", "road"], "optional": true}],
        }))
        .unwrap();
        assert_eq!(
            tool.schema(),
            json!({"type": "object", "additionalProperties": false, "required": ["flat", "floor", "view"], "properties": {
                "flat": {"type": "string", "description": "its number"}, "floor": {"type": ["number", "null"]},
                "view": {"type": ["string", "null"], "enum": ["lake", "road", null]}}})
        );
    }

    #[test]
    fn every_account_has_a_secret_of_its_own() {
        let installation = SecretString::from("x");
        let of = |id| signing_secret(&installation, AccountId(id)).expose_secret().to_owned();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert_eq!(of(1).len(), 64);
    }
}
