//! Cuts streamed text into pieces worth speaking: the first one early, the others whole sentences.

/// The first piece may be cut at a word once it is this long, in characters and words.
const FIRST_CHARS: usize = 20;
const FIRST_WORDS: usize = 6;
/// A comma ends the first piece only behind this many characters: "Well," alone sounds chopped.
const FIRST_COMMA_CHARS: usize = 12;
/// A sentence longer than this is cut at its last comma, or else at a space.
const LONGEST_CHARS: usize = 180;

/// Abbreviations whose full stop ends no sentence. Lower case.
const ABBREVIATIONS: &[&str] = &[
    "mr", "mrs", "ms", "dr", "prof", "sr", "jr", "st", "rs", "no", "nos", "vs", "approx", "sq", "ft", "e.g", "i.e",
    "etc", "govt", "pvt", "ltd", "shri", "smt", "rd", "opp", "nr", "dept", "ext", "min", "max",
];

/// Feeds on deltas, gives clauses. Everything pushed comes out exactly once, in order, but for markup and outer white space.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    buffer: String,
    first_given: bool,
}

impl Splitter {
    /// For texts that are there as a whole, where an early first piece gains nothing.
    pub(crate) fn by_sentence() -> Self {
        Self { first_given: true, ..Self::default() }
    }

    pub(crate) fn push(&mut self, delta: &str) {
        // Models write Markdown even when told not to; a voice would read it out.
        self.buffer.extend(delta.chars().filter(|c| !matches!(c, '*' | '#' | '`' | '_' | '~')));
    }

    /// The next clause that is certainly whole.
    pub(crate) fn next_clause(&mut self) -> Option<String> {
        loop {
            let end = self.boundary()?;
            let clause: String = self.buffer.drain(..end).collect();
            if let Some(clause) = speakable(&clause) {
                self.first_given = true;
                return Some(clause);
            }
        }
    }

    /// The text is over: what is left, as it is. `whole_only`: give it only up to its last sentence end (the model ran out of
    /// tokens in the middle).
    pub(crate) fn finish(&mut self, whole_only: bool) -> Option<String> {
        let mut rest = std::mem::take(&mut self.buffer);
        if whole_only {
            let end = rest
                .rfind(['.', '!', '?', '।'])
                .map_or(0, |at| at + rest[at..].chars().next().map_or(1, char::len_utf8));
            // Nothing at all said would be worse than half a sentence.
            if end > 0 || self.first_given {
                rest.truncate(end);
            }
        }
        let clause = speakable(&rest)?;
        self.first_given = true;
        Some(clause)
    }

    /// The text broke off: what is left if it ends with its sentence, and nothing of a sentence that it broke off in.
    pub(crate) fn finish_whole(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.buffer);
        if !ends_its_sentence(&rest) {
            return None;
        }
        let clause = speakable(&rest)?;
        self.first_given = true;
        Some(clause)
    }

    /// Byte position behind the first clause in the buffer.
    fn boundary(&self) -> Option<usize> {
        let start = self.buffer.len() - self.buffer.trim_start().len();
        let text = &self.buffer[start..];
        let end = self
            .sentence_end(text)
            .or_else(|| if self.first_given { None } else { first_piece(text) })
            .or_else(|| too_long(text))?;
        Some(start + end)
    }

    fn sentence_end(&self, text: &str) -> Option<usize> {
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let end = at + c.len_utf8();
            if c == '\n' {
                return Some(end);
            }
            if !matches!(c, '.' | '!' | '?' | '।' | '…') {
                continue;
            }
            // A closing quote belongs to its sentence, and only the character behind tells a full stop from "3.5".
            let mut end = end;
            while let Some(&(_, close)) = chars.peek() {
                if !matches!(close, '"' | '”' | '\'' | ')' | '.' | '!' | '?') {
                    break;
                }
                end += close.len_utf8();
                chars.next();
            }
            let followed_by_space = chars.peek().is_some_and(|&(_, next)| next.is_whitespace());
            if followed_by_space && !(c == '.' && is_abbreviation(&text[..at])) {
                return Some(end);
            }
        }
        None
    }
}

/// Behind "3." the rest of a number may have been to come.
fn ends_its_sentence(text: &str) -> bool {
    let text = text.trim_end().trim_end_matches(['"', '”', '\'', ')']);
    match text.strip_suffix('.') {
        Some(before) => !before.ends_with(|c: char| c.is_ascii_digit()) && !is_abbreviation(before),
        None => text.ends_with(['!', '?', '।', '…']),
    }
}

/// Does the full stop behind `before` belong to an abbreviation, an initial or a list number?
fn is_abbreviation(before: &str) -> bool {
    let word = before.rsplit(char::is_whitespace).next().unwrap_or_default();
    let word = word.trim_start_matches(['(', '"', '“']);
    let lower = word.to_lowercase();
    let single_letter = word.chars().count() == 1 && word.chars().all(char::is_uppercase);
    let list_number =
        word.len() == before.trim_start().len() && word.len() <= 2 && word.chars().all(|c| c.is_ascii_digit());
    ABBREVIATIONS.contains(&lower.as_str()) || single_letter && word != "I" || list_number && !word.is_empty()
}

/// An early end for the very first piece: a comma, or a word end once it is long enough.
fn first_piece(text: &str) -> Option<usize> {
    let mut words = 0;
    let mut chars = text.char_indices().enumerate().peekable();
    while let Some((count, (at, c))) = chars.next() {
        let followed_by_space = chars.peek().is_some_and(|&(_, (_, next))| next.is_whitespace());
        if matches!(c, ',' | ';' | ':' | '—') && followed_by_space && count >= FIRST_COMMA_CHARS {
            return Some(at + c.len_utf8());
        }
        if c.is_whitespace() {
            words += 1;
            if words >= FIRST_WORDS && count >= FIRST_CHARS && splits_well(text, at) {
                return Some(at);
            }
        }
    }
    None
}

/// May the text be cut at this space? Not between a number and its unit, nor behind "Rs." or "Mr.".
fn splits_well(text: &str, space: usize) -> bool {
    let before = text[..space].rsplit(char::is_whitespace).next().unwrap_or_default();
    let after = text[space..].split_whitespace().next();
    let numeric = |word: &str| word.chars().any(|c| c.is_ascii_digit());
    // Without the next word in sight nobody knows.
    after.is_some_and(|after| !numeric(before) && !numeric(after)) && !before.ends_with('.') && !before.ends_with('₹')
}

fn too_long(text: &str) -> Option<usize> {
    let (limit, _) = text.char_indices().nth(LONGEST_CHARS)?;
    let head = &text[..limit];
    let comma = head
        .match_indices([',', ';', '—'])
        .rfind(|&(at, sign)| at > limit / 3 && text[at + sign.len()..].starts_with(' '));
    if let Some((at, sign)) = comma {
        return Some(at + sign.len());
    }
    let spaces = || head.match_indices(char::is_whitespace).map(|(at, _)| at).filter(|&at| at > 0);
    Some(spaces().rfind(|&at| splits_well(text, at)).or_else(|| spaces().next_back()).unwrap_or(limit))
}

/// Trimmed, white space joined; `None` if there is nothing in it to say.
fn speakable(clause: &str) -> Option<String> {
    let clause = clause.split_whitespace().collect::<Vec<_>>().join(" ");
    clause.chars().any(char::is_alphanumeric).then_some(clause)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Splits text that arrives in pieces of `step` characters.
    fn split(text: &str, step: usize) -> Vec<String> {
        let mut splitter = Splitter::default();
        let mut clauses = Vec::new();
        let chars: Vec<char> = text.chars().collect();
        for piece in chars.chunks(step.max(1)) {
            splitter.push(&piece.iter().collect::<String>());
            while let Some(clause) = splitter.next_clause() {
                clauses.push(clause);
            }
        }
        clauses.extend(splitter.finish(false));
        clauses
    }

    #[test]
    fn the_first_piece_comes_early_and_the_rest_by_sentence() {
        assert_eq!(
            split(
                "Thank you for asking, we have several homes there. Would you like two or three bedrooms? Tell me.",
                3
            ),
            [
                "Thank you for asking,",
                "we have several homes there.",
                "Would you like two or three bedrooms?",
                "Tell me."
            ]
        );
        assert_eq!(
            split("We have several very nice homes near the lake that you may like.", 4),
            ["We have several very nice homes", "near the lake that you may like."]
        );
        assert_eq!(split("Well, yes. Come.", 1), ["Well, yes.", "Come."]);
    }

    #[test]
    fn numbers_abbreviations_and_units_stay_whole() {
        assert_eq!(split("It is 3.5 crore. Dr. Rao will call. ", 1), ["It is 3.5 crore.", "Dr. Rao will call."]);
        assert_eq!(split("Rs. 50 lakh is fine.", 2), ["Rs. 50 lakh is fine."]);
        assert_eq!(
            split("The price of that flat is 50 lakhs only in total.", 5),
            ["The price of that flat is 50 lakhs", "only in total."]
        );
        assert_eq!(split("Call Mr. A. Kumar at 5 p.m. today, please.", 1).concat().matches("Mr. A. Kumar").count(), 1);
        assert_eq!(split("1. Two rooms", 1), ["1. Two rooms"]);
    }

    #[test]
    fn hindi_sentences_end_with_a_danda() {
        assert_eq!(split("नमस्ते। आपको कैसा घर चाहिए? बताइए।", 1), ["नमस्ते।", "आपको कैसा घर चाहिए?", "बताइए।"]);
    }

    #[test]
    fn markup_is_not_spoken_and_half_sentences_are_dropped_when_the_model_ran_out() {
        assert_eq!(split("**Yes**, `that` is #1 for us. ", 1), ["Yes, that is 1 for us."]);
        let mut splitter = Splitter::default();
        splitter.push("That is fine. I will no");
        assert_eq!(splitter.next_clause().as_deref(), Some("That is fine."));
        assert_eq!(splitter.finish(true), None);
    }

    #[test]
    fn of_a_text_that_broke_off_only_a_sentence_that_is_surely_whole_is_left() {
        for (text, left) in [
            ("Would you like to see one?", Some("Would you like to see one?")),
            ("That is \"fine.\"", Some("That is \"fine.\"")),
            ("It is 3.", None),
            ("Ask Mr.", None),
            ("It is 3.5 cr", None),
            ("Each of them has", None),
            ("बताइए।", Some("बताइए।")),
        ] {
            let mut splitter = Splitter::by_sentence();
            splitter.push(text);
            assert_eq!(splitter.finish_whole().as_deref(), left, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_lost_or_doubled_and_every_piece_is_bounded(text in "[a-zA-Z0-9ऀ-ह .,!?\n]{0,600}", step in 1usize..40) {
            let squeeze = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            let clauses = split(&text, step);
            prop_assert_eq!(squeeze(&clauses.concat()), squeeze(&text));
            for clause in &clauses[..clauses.len().saturating_sub(1)] {
                prop_assert!(clause.chars().count() <= LONGEST_CHARS + 4 , "{}", clause);
            }
        }
    }
}
