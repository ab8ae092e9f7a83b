//! The digits of a number as somebody typed, pasted or exported it.

use super::PhoneError;

/// No number in any disguise is longer.
const LONGEST_TEXT: usize = 200;

pub(super) struct Written {
    /// It began with a plus.
    pub(super) international: bool,
    /// ASCII digits alone, 1 to some 20.
    pub(super) digits: String,
}

impl Written {
    pub(super) fn read(text: &str) -> Result<Self, PhoneError> {
        if text.len() > LONGEST_TEXT {
            return Err(PhoneError::NotANumber);
        }
        let text: String = text.chars().filter(|c| !is_invisible(*c)).map(plain).collect();
        let text = without_wrapping(text.trim());
        if text.is_empty() {
            return Err(PhoneError::Missing);
        }
        if is_scientific(text) {
            return Err(PhoneError::ScientificNotation);
        }
        let text = without_float_tail(text);
        if holds_several(text) {
            return Err(PhoneError::SeveralNumbers);
        }
        let mut written = Self { international: false, digits: String::with_capacity(16) };
        for c in text.chars() {
            match c {
                '0'..='9' => written.digits.push(c),
                '+' if written.digits.is_empty() && !written.international => written.international = true,
                '+' => return Err(PhoneError::SeveralNumbers),
                ' ' | '-' | '.' | '(' | ')' | '[' | ']' | '/' => {}
                c if c.is_alphabetic() && written.digits.len() >= 7 && is_extension(text) => {
                    return Err(PhoneError::Extension);
                }
                _ => return Err(PhoneError::NotANumber),
            }
        }
        if written.digits.is_empty() {
            return Err(PhoneError::NotANumber);
        }
        // "+44 (0)20 …": the zero is for callers at home.
        if written.international
            && let Some((code, _)) = text.split_once("(0)")
        {
            let digits_before = code.chars().filter(char::is_ascii_digit).count();
            if (1..=3).contains(&digits_before) {
                written.digits.remove(digits_before);
            }
        }
        Ok(written)
    }
}

/// Quotes, prefixes and formula signs that programs put around a number: `'98…`, `="98…"`, `tel:`, Facebook's `p:`.
fn without_wrapping(text: &str) -> &str {
    let text = text.trim_start_matches(['\'', '`', '=', '"']).trim_end_matches(['\'', '`', '"', ';', ',']).trim();
    for prefix in ["tel:", "p:", "whatsapp:", "ph:", "mob:", "phone:", "mobile:"] {
        if let Some(head) = text.get(..prefix.len())
            && head.eq_ignore_ascii_case(prefix)
        {
            return text[prefix.len()..].trim();
        }
    }
    text
}

/// `9.18E+11`, `9,18e+11`, `9E11`.
fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let exponent = exponent.trim_start_matches(['+', '-']);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa = mantissa.trim_start_matches(['+', '-']);
    let plain = match mantissa.split_once(['.', ',']) {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(mantissa),
    };
    plain && digits(exponent)
}

/// `919876543210.0`: a whole number that passed through a float.
fn without_float_tail(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.len() <= 2 && zeros.bytes().all(|byte| byte == b'0') => {
            let digits = whole.trim_start_matches('+');
            if digits.len() >= 7 && digits.bytes().all(|byte| byte.is_ascii_digit()) { whole } else { text }
        }
        _ => text,
    }
}

/// Two parts that could each be dialed.
fn holds_several(text: &str) -> bool {
    let spelled = text.replace(" or ", "/").replace(" and ", "/").replace('+', " +");
    let numbers_in = |separators: &[char], least: usize| {
        let digits = |part: &str| part.chars().filter(char::is_ascii_digit).count();
        spelled.split(separators).filter(|part| digits(part) >= least).count() > 1
    };
    numbers_in(&['/', ',', ';', '|', '&', '\n', '\r', '\\'], 7) || numbers_in(&[' ', '-'], 10)
}

fn is_extension(text: &str) -> bool {
    let lower = text.to_lowercase();
    let tail = lower.trim_start_matches(|c: char| !c.is_alphabetic());
    ["x", "ext", "extn", "extension"]
        .contains(&tail.trim_end_matches(|c: char| !c.is_alphabetic()).trim_end_matches('.'))
}

/// Marks of writing direction, joiners and byte-order marks that come along when a number is copied.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
}

/// ASCII for digits of other scripts and for the many dashes, spaces and quotes.
fn plain(c: char) -> char {
    if c.is_ascii() {
        return if c == '\t' { ' ' } else { c };
    }
    // Zero of Arabic, Persian, Devanagari, Bengali, Gurmukhi, Gujarati, Odia, Tamil, Telugu, Kannada, Malayalam, Thai and
    // full-width digits; one to nine follow.
    const ZEROS: [u32; 13] =
        [0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xff10];
    for zero in ZEROS {
        if let Some(digit) = (c as u32).checked_sub(zero).filter(|digit| *digit < 10) {
            return char::from_digit(digit, 10).expect("below ten");
        }
    }
    match c {
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' => '-',
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        '\u{ff0b}' => '+',
        '\u{ff08}' => '(',
        '\u{ff09}' => ')',
        '\u{b7}' | '\u{2022}' => '.',
        c if c.is_whitespace() => ' ',
        c => c,
    }
}
