//! Devanagari in Latin letters, near enough for an English synthesiser to pronounce: "नमस्ते" as "namaste".

use std::borrow::Cow;

const CONSONANTS: &[(char, &str)] = &[
    ('क', "k"),
    ('ख', "kh"),
    ('ग', "g"),
    ('घ', "gh"),
    ('ङ', "n"),
    ('च', "ch"),
    ('छ', "chh"),
    ('ज', "j"),
    ('झ', "jh"),
    ('ञ', "n"),
    ('ट', "t"),
    ('ठ', "th"),
    ('ड', "d"),
    ('ढ', "dh"),
    ('ण', "n"),
    ('त', "t"),
    ('थ', "th"),
    ('द', "d"),
    ('ध', "dh"),
    ('न', "n"),
    ('प', "p"),
    ('फ', "ph"),
    ('ब', "b"),
    ('भ', "bh"),
    ('म', "m"),
    ('य', "y"),
    ('र', "r"),
    ('ल', "l"),
    ('व', "v"),
    ('ळ', "l"),
    ('श', "sh"),
    ('ष', "sh"),
    ('स', "s"),
    ('ह', "h"),
    // The same with a nukta, as one character.
    ('\u{958}', "k"),
    ('\u{959}', "kh"),
    ('\u{95a}', "g"),
    ('\u{95b}', "z"),
    ('\u{95c}', "r"),
    ('\u{95d}', "rh"),
    ('\u{95e}', "f"),
    ('\u{95f}', "y"),
];

/// A consonant with the nukta behind it.
const WITH_NUKTA: &[(char, &str)] =
    &[('क', "k"), ('ख', "kh"), ('ग', "g"), ('ज', "z"), ('ड', "r"), ('ढ', "rh"), ('फ', "f"), ('य', "y")];

/// Vowels that stand alone, and their signs on a consonant.
const VOWELS: &[(char, char, &str)] = &[
    ('आ', 'ा', "aa"),
    ('इ', 'ि', "i"),
    ('ई', 'ी', "ee"),
    ('उ', 'ु', "u"),
    ('ऊ', 'ू', "oo"),
    ('ऋ', 'ृ', "ri"),
    ('ए', 'े', "e"),
    ('ऐ', 'ै', "ai"),
    ('ओ', 'ो', "o"),
    ('औ', 'ौ', "au"),
    ('ऑ', 'ॉ', "o"),
    ('ऍ', 'ॅ', "e"),
];

const NUKTA: char = '\u{93c}';
const VIRAMA: char = '\u{94d}';

/// The text with every Devanagari letter replaced; anything else stays.
pub(super) fn in_latin(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| ('\u{900}'..='\u{97f}').contains(&c)) {
        return Cow::Borrowed(text);
    }
    let letters: Vec<char> = text.chars().collect();
    let mut latin = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let letter = letters[at];
        at += 1;
        let Some(plain) = find(CONSONANTS, letter) else {
            latin.push_str(&alone(letter, letters.get(at).copied()));
            continue;
        };
        let has_nukta = letters.get(at) == Some(&NUKTA);
        at += usize::from(has_nukta);
        latin.push_str(if has_nukta { find(WITH_NUKTA, letter).unwrap_or(plain) } else { plain });
        match letters.get(at).copied() {
            Some(VIRAMA) => at += 1,
            Some(sign) if vowel_of_sign(sign).is_some() => {
                latin.push_str(vowel_of_sign(sign).unwrap_or_default());
                at += 1;
            }
            // A short "a" is in every consonant, but not said at the end of a longer word.
            next => {
                let is_first =
                    at < 2 + usize::from(has_nukta) || !is_devanagari(letters[at - 2 - usize::from(has_nukta)]);
                if is_first || next.is_some_and(is_devanagari) {
                    latin.push('a');
                }
            }
        }
    }
    Cow::Owned(latin)
}

/// What is no consonant.
fn alone(letter: char, next: Option<char>) -> Cow<'static, str> {
    if let Some((.., vowel)) = VOWELS.iter().find(|(vowel, sign, _)| *vowel == letter || *sign == letter) {
        return Cow::Borrowed(vowel);
    }
    match letter {
        'अ' => Cow::Borrowed("a"),
        'ॐ' => Cow::Borrowed("om"),
        // The nose takes the place of the consonant behind it.
        'ं' | 'ँ' if next.is_some_and(|next| "पफबभम".contains(next)) => Cow::Borrowed("m"),
        'ं' | 'ँ' => Cow::Borrowed("n"),
        'ः' => Cow::Borrowed("h"),
        '।' | '॥' => Cow::Borrowed("."),
        '०'..='९' => Cow::Owned(char::from(b'0' + (letter as u32 - '०' as u32) as u8).to_string()),
        '\u{900}'..='\u{97f}' => Cow::Borrowed(""),
        other => Cow::Owned(other.to_string()),
    }
}

fn find(table: &[(char, &'static str)], letter: char) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == letter).map(|(_, latin)| *latin)
}

fn vowel_of_sign(sign: char) -> Option<&'static str> {
    VOWELS.iter().find(|(_, known, _)| *known == sign).map(|(.., latin)| *latin)
}

fn is_devanagari(c: char) -> bool {
    ('\u{900}'..='\u{963}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_as_they_sound() {
        for (text, latin) in [
            ("नमस्ते, मैं आशा बोल रही हूँ।", "namaste, main aashaa bol rahee hoon."),
            ("क्या अभी बात कर सकते हैं?", "kyaa abhee baat kar sakate hain?"),
            ("मुझे आपकी आवाज़ नहीं आ रही", "mujhe aapakee aavaaz naheen aa rahee"),
            ("पाँच लाख, एक करोड़", "paanch laakh, ek karor"),
            ("ऑफ़िस, फ्लैट और ढूँढ", "ofis, phlait aur dhoondh"),
            ("न जी, व", "na jee, va"),
            ("संपत्ति", "sampatti"),
            ("2 BHK ५०", "2 BHK 50"),
        ] {
            assert_eq!(in_latin(text), latin, "{text}");
        }
        assert!(matches!(in_latin("plain English, 2 crore"), Cow::Borrowed(_)));
    }

    #[test]
    fn no_letter_of_the_block_is_left() {
        let block: String = ('\u{900}'..='\u{97f}').collect();
        assert!(in_latin(&block).chars().all(|c| !('\u{900}'..='\u{97f}').contains(&c)));
    }
}
