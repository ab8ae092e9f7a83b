//! Prices and other figures: `₹75,00,000`, `50-60 lakhs`, `₹75 லட்சம்`.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::writing::pattern;
use super::{Figure, Says, Scale, figure, money_words, only_digits};

/// Commas divide lakhs or thousands; otherwise they stand between two figures.
pub(super) const FIGURE: &str = r"(?:\d{1,3}(?:,\d{2,3})*,\d{3}\b|\d+)(?:\.\d+)?";

static AMOUNT: LazyLock<Regex> = LazyLock::new(|| {
    let (scales, stems, rupees) = (money_words::scales(), money_words::scale_stems(), money_words::rupees());
    pattern(&format!(
        r"(?i)(?P<unit>₹|\brs\b\.?|\binr\b|\$)?\s*(?P<from>{FIGURE})(?:(?:\s*(?P<from_scale>{scales})\b|\s?(?P<from_glued>[lk])\b)?\s*[-–—]\s*(?:₹|rs\b\.?|\$)?\s*(?P<to>{FIGURE}))?(?:\s*(?P<scale>{scales})\b|\s*(?P<inflected>(?:{stems})\w+)|\s?(?P<glued>[lk])\b)?(?:/-)?(?P<after>\s*(?:{rupees})\b)?"
    ))
});
static RUPEE_AHEAD: LazyLock<Regex> =
    LazyLock::new(|| pattern(&format!(r"(?i)^\s*(?:{})", money_words::rupee_stems())));

/// Every figure in the text as it is said.
pub(super) fn said(text: &str, tongue: &dyn Says) -> String {
    let amount = |found: &Captures<'_>| {
        let rest = found.get(0).map_or("", |whole| &text[whole.end()..]);
        amount(found, rest, tongue)
    };
    AMOUNT.replace_all(text, amount).into_owned()
}

fn amount(found: &Captures<'_>, rest: &str, tongue: &dyn Says) -> String {
    let scale = |name: &str, glued: &str| {
        let word = found.name(name).or(found.name(glued))?.as_str();
        match word {
            "l" | "L" => Some(Scale::Lakh),
            "k" | "K" => Some(Scale::Thousand),
            word => money_words::scale(word),
        }
    };
    let (from_scale, scale) = (scale("from_scale", "from_glued"), scale("scale", "glued"));
    let inflected = found.name("inflected").map(|word| word.as_str());
    let unit = found.name("unit").or(found.name("after")).map(|unit| unit.as_str().trim());
    let has_unit = unit.is_some() || scale.is_some();
    let one = |text: &str, scale: Option<Scale>| match (figure(text), scale) {
        (Some(figure), Some(scale)) => tongue.scaled(figure, scale),
        (Some(figure), None) if has_unit || !is_code(text) => tongue.figure(figure),
        _ => tongue.digits(&only_digits(text)),
    };
    let written = &found["from"];
    let mut said = match found.name("to") {
        Some(to) => tongue.range(&one(written, from_scale), &one(to.as_str(), scale)),
        None => one(written, scale),
    };
    // The word says already what it is a lakh of, and how.
    if let Some(word) = inflected {
        said = format!("{said} {word}");
    }
    let says_rupees = inflected.is_some() || found.name("after").is_none() && RUPEE_AHEAD.is_match(rest);
    said = match unit {
        Some("$") => tongue.dollars(&said),
        Some(_) if !says_rupees => tongue.rupees(&said),
        _ => said,
    };
    // What stood around it stays around it.
    let before = if found[0].starts_with(char::is_whitespace) { " " } else { "" };
    format!("{before}{said}")
}

/// A zero in front is never a quantity, and nobody owns billions of crores.
fn is_code(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    plain && (text.len() > 1 && text.starts_with('0') || text.len() > 9)
}

/// With a percent sign: `8.5%`, `50-60%`.
pub(super) fn percentage(from: &str, to: Option<&str>, tongue: &dyn Says) -> Option<String> {
    let said = |text: &str| figure(text).map(|figure: Figure<'_>| tongue.figure(figure));
    let (from, to) = (said(from)?, to.map(said));
    Some(match to {
        Some(to) => tongue.percent(&tongue.range(&from, &to?)),
        None => tongue.percent(&from),
    })
}
