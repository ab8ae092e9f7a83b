//! What one would configure in Exotel's dashboard: the chain of applets behind an app id.

use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// One flow: Voicebot, then Passthru, then what Passthru's answer chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// `ws(s)://` itself, or `http(s)://` that answers `{"url":"ws…"}`. User info becomes Basic
    /// credentials.
    pub voicebot_url: String,
    /// Asked after each voicebot round; without it the call ends there.
    #[serde(default)]
    pub passthru_url: Option<String>,
    /// An asynchronous Passthru is told, not asked: the flow goes on as after a 302.
    #[serde(default)]
    pub passthru_async: bool,
    #[serde(default)]
    pub passthru_style: PassthruStyle,
    /// By default the product is asked whether its bot goes on: 200 is yes.
    #[serde(default = "voicebot")]
    pub on_200: Next,
    #[serde(default = "hang_up")]
    pub on_302: Next,
    /// The Connect applet's dynamic URL.
    #[serde(default)]
    pub connect_url: Option<String>,
    /// A Passthru applet behind Connect; the flow ends whatever it answers.
    #[serde(default)]
    pub after_connect_url: Option<String>,
    /// "Record" is ticked on the Voicebot applet.
    #[serde(default)]
    pub record: bool,
}

fn hang_up() -> Next {
    Next::Hangup
}

fn voicebot() -> Next {
    Next::Voicebot
}

/// The applet behind one branch of a Passthru.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    Hangup,
    /// Back to the bot: another stream in the same call.
    Voicebot,
    /// Dial a human, by the Connect applet's URL.
    Connect,
}

/// How Passthru writes what it knows of the stream. Live requests come in both ways.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassthruStyle {
    /// One, then the other, from request to request.
    #[default]
    Alternate,
    /// `Stream[Status]=completed&…`
    Fields,
    /// `Stream={"Status":"completed",…}`
    Json,
}

impl Flow {
    /// The flow that the settings configure, if they name a bot.
    pub fn from_settings(settings: &Settings) -> Option<Self> {
        Some(Self {
            voicebot_url: settings.voicebot_url.clone()?,
            passthru_url: settings.passthru_url.clone(),
            passthru_async: false,
            passthru_style: PassthruStyle::default(),
            on_200: Next::Voicebot,
            on_302: if settings.connect_url.is_some() { Next::Connect } else { Next::Hangup },
            connect_url: settings.connect_url.clone(),
            after_connect_url: settings.after_connect_url.clone(),
            record: false,
        })
    }

    /// Why this flow cannot be run, if it cannot.
    pub fn problem(&self) -> Option<String> {
        let applets = [
            (Some(&self.voicebot_url), &["ws", "wss", "http", "https"][..]),
            (self.passthru_url.as_ref(), &["http", "https"][..]),
            (self.connect_url.as_ref(), &["http", "https"][..]),
            (self.after_connect_url.as_ref(), &["http", "https"][..]),
        ];
        applets.into_iter().find_map(|(text, schemes)| {
            let text = text?;
            let Ok(url) = url::Url::parse(text) else { return Some(format!("{text} is not a URL")) };
            if !schemes.contains(&url.scheme()) {
                return Some(format!("{text} must begin with one of {schemes:?}"));
            }
            (!is_loopback(&url)).then(|| format!("{text} is not on loopback, and the sandbox reaches nothing else"))
        })
    }
}

/// The sandbox is a closed world: it calls nothing but this machine.
pub fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The app id of a `Url=` parameter: `http(s)://my.exotel.com/{sid}/exoml/start_voice/{app_id}`, or
/// the older `…/exoml/start/{app_id}`. Any other URL is not supported by the carrier.
pub fn app_id<'a>(url: &'a str, account: &str) -> Option<&'a str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let (host, path) = rest.split_once('/')?;
    if !(host.starts_with("my.") && (host.ends_with("exotel.com") || host.ends_with("exotel.in"))) {
        return None;
    }
    let app_id = path
        .strip_prefix(account)
        .and_then(|path| path.strip_prefix("/exoml/start_voice/"))
        .or_else(|| path.strip_prefix("exoml/start/"))?
        .trim_end_matches('/');
    (!app_id.is_empty() && app_id.chars().all(|c| c.is_ascii_alphanumeric())).then_some(app_id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_carriers_own_flow_urls_name_an_app() {
        for url in [
            "http://my.exotel.com/acme1/exoml/start_voice/1001",
            "https://my.in.exotel.com/acme1/exoml/start_voice/1001",
            "http://my.exotel.in/exoml/start/1001",
        ] {
            assert_eq!(app_id(url, "acme1"), Some("1001"), "{url}");
        }
        for url in [
            "https://bot.example/flow",
            "http://my.exotel.com/other/exoml/start_voice/1001",
            "http://my.exotel.com/acme1/exoml/start_voice/",
            "my.exotel.com/acme1/exoml/start_voice/1001",
        ] {
            assert_eq!(app_id(url, "acme1"), None, "{url}");
        }
    }

    #[test]
    fn a_flow_reaches_only_this_machine() {
        let flow = |bot: &str| -> Flow { serde_json::from_value(json!({"voicebot_url": bot})).unwrap() };
        assert_eq!(flow("ws://127.0.0.1:9/media").problem(), None);
        assert_eq!(flow("http://localhost:9/bot").on_200, Next::Voicebot);
        assert_eq!(flow("http://localhost:9/bot").on_302, Next::Hangup);
        assert!(flow("wss://bot.example/media").problem().is_some());
        assert!(flow("ftp://127.0.0.1/x").problem().is_some());
    }
}
