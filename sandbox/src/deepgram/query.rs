//! The query of `/v1/listen`, read strictly: what Deepgram would not take is refused with its name.

use url::form_urlencoded;

/// Parameters that are accepted but change nothing here.
const INERT: &[&str] = &[
    "smart_format",
    "numerals",
    "profanity_filter",
    "dictation",
    "diarize",
    "diarize_model",
    "redact",
    "replace",
    "search",
    "detect_entities",
    "tag",
    "extra",
    "version",
    "callback",
    "callback_method",
    "mip_opt_out",
    "keywords",
    "language_hint",
    "channels",
    "multichannel",
];
const BOOLEANS: &[&str] = &[
    "smart_format",
    "numerals",
    "profanity_filter",
    "dictation",
    "diarize",
    "detect_entities",
    "mip_opt_out",
    "multichannel",
];

/// What Nova understands. Of India's languages that is English and Hindi.
const LANGUAGES: &str = "en es fr de hi ru pt ja it nl";

/// How the audio comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Linear16,
    Mulaw,
}

/// What the client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    pub model: String,
    pub language: String,
    pub encoding: Encoding,
    pub sample_rate: u32,
    pub interim_results: bool,
    /// Silence that ends an utterance, in ms; `None` where the client switched it off.
    pub endpointing_ms: Option<u64>,
    pub utterance_end_ms: Option<u64>,
    pub vad_events: bool,
    /// Punctuation and capitals, by `punctuate` or `smart_format`.
    pub punctuate: bool,
    pub keyterms: Vec<String>,
}

impl Query {
    /// Whether only English is understood. Other languages than it are heard with the English words that people mix into them.
    pub(super) fn is_english_only(&self) -> bool {
        self.language.split('-').next() == Some("en")
    }

    /// `Err` is the text after `Bad Request: `.
    pub(super) fn parse(raw: &str) -> Result<Self, String> {
        let mut model = None;
        let mut encoding = None;
        let mut sample_rate = None;
        let mut query = Self {
            model: String::new(),
            language: "en".into(),
            encoding: Encoding::Linear16,
            sample_rate: 0,
            interim_results: false,
            endpointing_ms: Some(10),
            utterance_end_ms: None,
            vad_events: false,
            punctuate: false,
            keyterms: Vec::new(),
        };
        for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
            match &*name {
                "model" => model = Some(known_model(&value)?),
                "language" => query.language = language(&value)?,
                "encoding" => encoding = Some(known_encoding(&value)?),
                "sample_rate" => sample_rate = Some(known_rate(&value)?),
                "interim_results" => query.interim_results = boolean(&name, &value)?,
                "endpointing" => {
                    query.endpointing_ms = match &*value {
                        "false" => None,
                        "true" => Some(10),
                        ms => Some(number(&name, ms)?),
                    }
                }
                "utterance_end_ms" => query.utterance_end_ms = Some(number(&name, &value)?),
                "vad_events" => query.vad_events = boolean(&name, &value)?,
                "punctuate" => query.punctuate |= boolean(&name, &value)?,
                "keyterm" => query.keyterms.push(value.into_owned()),
                name if INERT.contains(&name) => {
                    if BOOLEANS.contains(&name) {
                        let on = boolean(name, &value)?;
                        query.punctuate |= on && name == "smart_format";
                        if on && name == "multichannel" {
                            return Err("the simulator takes one channel, so `multichannel` must be false".into());
                        }
                    }
                    if name == "channels" && value != "1" {
                        return Err("the simulator takes one channel, so `channels` must be 1".into());
                    }
                }
                unknown => return Err(format!("unknown query parameter `{unknown}`")),
            }
        }
        query.model = model.ok_or("`model` is required")?;
        query.encoding = encoding.ok_or("the simulator takes raw audio only, so `encoding` is required")?;
        query.sample_rate = sample_rate.ok_or("`sample_rate` is required when `encoding` is given")?;
        if !query.keyterms.is_empty() && !query.model.starts_with("nova-3") {
            return Err("`keyterm` is only supported by Nova-3".into());
        }
        if let Some(ms) = query.utterance_end_ms {
            if !query.interim_results {
                return Err("`utterance_end_ms` requires `interim_results=true`".into());
            }
            if !(1_000..=5_000).contains(&ms) {
                return Err("`utterance_end_ms` must be between 1000 and 5000".into());
            }
        }
        Ok(query)
    }
}

fn known_model(value: &str) -> Result<String, String> {
    match value.strip_prefix("nova-").and_then(|rest| rest.split('-').next()) {
        Some("2" | "3") => Ok(value.to_owned()),
        _ => Err(format!("No such model/version combination found: `{value}`")),
    }
}

/// `multi` hears those of them together that it tells apart.
fn language(value: &str) -> Result<String, String> {
    let base = value.split('-').next().unwrap_or_default();
    let is_region = value.len() == base.len() || matches!(value.len() - base.len(), 3..=5);
    if value == "multi" || LANGUAGES.split(' ').any(|known| known == base) && is_region {
        return Ok(value.to_owned());
    }
    Err(format!("No such model/language/tier combination found: `language` `{value}`"))
}

fn known_encoding(value: &str) -> Result<Encoding, String> {
    match value {
        "linear16" => Ok(Encoding::Linear16),
        "mulaw" => Ok(Encoding::Mulaw),
        "linear32" | "flac" | "alaw" | "amr-nb" | "amr-wb" | "opus" | "ogg-opus" | "speex" | "g729" => {
            Err(format!("the simulator does not decode `{value}`"))
        }
        _ => Err(format!("unsupported `encoding`: `{value}`")),
    }
}

fn known_rate(value: &str) -> Result<u32, String> {
    match value {
        "8000" => Ok(8_000),
        "16000" => Ok(16_000),
        _ => Err(format!("unsupported `sample_rate`: `{value}` (the simulator takes 8000 and 16000)")),
    }
}

fn boolean(name: &str, value: &str) -> Result<bool, String> {
    value.parse().map_err(|_invalid| format!("`{name}` must be true or false, not `{value}`"))
}

fn number(name: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_invalid| format!("`{name}` must be a number of milliseconds, not `{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "model=nova-3&encoding=linear16&sample_rate=8000&interim_results=true&endpointing=300\
        &utterance_end_ms=1000&vad_events=true&smart_format=true&keyterm=Trunk+line&keyterm=b&language=multi";

    #[test]
    fn a_client_for_telephony_is_understood() {
        let query = Query::parse(GOOD).unwrap();
        assert_eq!(query.endpointing_ms, Some(300));
        assert_eq!(query.keyterms, ["Trunk line", "b"]);
        assert!(query.punctuate && query.vad_events && query.interim_results);
        assert_eq!(Query::parse("model=nova-2&encoding=mulaw&sample_rate=8000").unwrap().endpointing_ms, Some(10));
    }

    #[test]
    fn what_deepgram_would_not_take_is_named() {
        for (extra, named) in [
            ("&interim=true", "`interim`"),
            ("&vad_events=yes", "`vad_events`"),
            ("&endpointing=soon", "`endpointing`"),
            ("&utterance_end_ms=200", "between"),
            ("&encoding=wav", "`wav`"),
            ("&model=flux-general-en", "flux-general-en"),
            ("&channels=2", "`channels`"),
            ("&language=ta", "`ta`"),
            ("&language=soon", "`soon`"),
        ] {
            let refusal = Query::parse(&format!("{GOOD}{extra}")).unwrap_err();
            assert!(refusal.contains(named), "{extra}: {refusal}");
        }
        assert!(Query::parse("model=nova-3&encoding=linear16").unwrap_err().contains("sample_rate"));
        assert!(Query::parse("encoding=linear16&sample_rate=8000").unwrap_err().contains("model"));
        let keyterm = "model=nova-2&encoding=mulaw&sample_rate=8000&keyterm=a";
        assert!(Query::parse(keyterm).unwrap_err().contains("keyterm"));
    }
}
