//! What a caller wants to find out, and how to hear it in an answer.

use super::words::{is_number, moment, plain, says};

/// What a field is about, whatever its key is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Purpose,
    Budget,
    Timeline,
    Location,
    PropertyType,
    SiteVisit,
    /// A question of the playbook's own.
    Other,
}

impl Kind {
    /// By the name of a field or property.
    pub(super) fn of(name: &str) -> Self {
        let name = name.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        if has(&["visit"]) {
            Self::SiteVisit
        } else if has(&["budget", "price"]) {
            Self::Budget
        } else if has(&["purpose", "usage", "intent_of"]) {
            Self::Purpose
        } else if has(&["timeline", "timeframe", "move_in", "possession", "when_to"]) {
            Self::Timeline
        } else if has(&["location", "locality", "area", "city", "where"]) {
            Self::Location
        } else if has(&["property", "bhk", "bedroom", "configuration", "unit_type", "home_type"]) {
            Self::PropertyType
        } else {
            Self::Other
        }
    }
}

/// The facts of these kinds that a sentence states by itself, without being asked for.
pub(super) fn volunteered(text: &str) -> Vec<(Kind, String)> {
    let said = plain(text);
    let found = [
        (Kind::Purpose, purpose(&said)),
        (Kind::Budget, budget(&said)),
        (Kind::Timeline, timeline(&said)),
        (Kind::Location, location(text)),
        (Kind::PropertyType, property_type(&said)),
    ];
    found.into_iter().filter_map(|(kind, value)| Some((kind, value?))).collect()
}

/// What a direct answer to a question of this kind says, where [`volunteered`] found nothing.
pub(super) fn answered(kind: Kind, text: &str) -> Option<String> {
    let said = plain(text);
    let rest = without_preamble(&said);
    let substantial = !rest.is_empty() && rest.split_whitespace().count() <= 12;
    match kind {
        Kind::Budget => rest.split_whitespace().any(is_number).then(|| rest.to_owned()),
        Kind::SiteVisit => moment(&said),
        Kind::Purpose | Kind::PropertyType => {
            (substantial && rest.split_whitespace().count() <= 6).then(|| rest.to_owned())
        }
        Kind::Location => substantial.then(|| title(rest)),
        Kind::Timeline | Kind::Other => substantial.then(|| rest.to_owned()),
    }
}

fn purpose(said: &str) -> Option<String> {
    let value = if says(
        said,
        &["invest", "investing", "investment", "an investment", "returns", "rental income", "resale", "rent it out"],
    ) {
        "investment"
    } else if says(said, &["to rent", "on rent", "renting", "for rent", "rental", "as a tenant"]) {
        "rent"
    } else if says(
        said,
        &[
            "live",
            "to live in",
            "living",
            "stay",
            "own use",
            "self use",
            "end use",
            "family",
            "move in",
            "ourselves",
            "myself",
            "own home",
            "first home",
            "rehne ke liye",
        ],
    ) {
        "own use"
    } else {
        return None;
    };
    Some(value.to_owned())
}

fn budget(said: &str) -> Option<String> {
    const UNITS: &[&str] =
        &["lakh", "lakhs", "lac", "lacs", "crore", "crores", "cr", "million", "thousand", "rupees", "dollars"];
    let words: Vec<&str> = said.split_whitespace().collect();
    let glued = |word: &str| {
        let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
        unit.len() < word.len() && (UNITS.contains(&unit) || matches!(unit, "l" | "k" | "m"))
    };
    let is_unit = |at: &usize| UNITS.contains(&words[*at]) || glued(words[*at]);
    let first = (0..words.len()).find(is_unit)?;
    let last = (0..words.len()).rfind(is_unit)?;
    let mut from = first;
    let within = ["to", "and", "or", "a", "point"];
    while from > 0 && (is_number(words[from - 1]) || from < first && within.contains(&words[from - 1])) {
        from -= 1;
    }
    if from == first && !glued(words[first]) {
        return None;
    }
    while from < first && within.contains(&words[from]) {
        from += 1;
    }
    let qualifier = ["under", "below", "around", "about", "maximum", "max", "upto", "between"];
    if from > 0 && qualifier.contains(&words[from - 1]) {
        from -= 1;
    } else if from > 1
        && matches!((words[from - 2], words[from - 1]), ("up", "to") | ("less", "than") | ("more", "than"))
    {
        from -= 2;
    }
    Some(words[from..=last].join(" "))
}

fn timeline(said: &str) -> Option<String> {
    if says(said, &["immediately", "right away", "as soon as possible", "asap", "straight away", "urgently", "urgent"])
    {
        return Some("immediately".to_owned());
    }
    if says(said, &["no hurry", "not in a hurry", "just exploring", "just looking", "no rush"]) {
        return Some("no hurry".to_owned());
    }
    const SPANS: &[&str] = &["month", "months", "year", "years", "weeks", "quarter", "diwali"];
    const BEFORE: &[&str] = &[
        "within", "in", "next", "by", "about", "around", "the", "this", "a", "of", "or", "to", "end", "after",
        "coming", "maybe",
    ];
    let words: Vec<&str> = said.split_whitespace().collect();
    let at = words.iter().position(|word| SPANS.contains(word))?;
    let mut from = at;
    while from > 0 && (BEFORE.contains(&words[from - 1]) || is_number(words[from - 1])) {
        from -= 1;
    }
    while from < at
        && ["or", "to", "of", "the", "a", "maybe"].contains(&words[from])
        && !(words[from] == "a" && from + 1 == at)
    {
        from += 1;
    }
    // "For years", "the month" alone say nothing about a plan.
    (from < at || words[at] == "diwali").then(|| words[from..=at].join(" "))
}

fn property_type(said: &str) -> Option<String> {
    const NOUNS: &[&str] = &[
        "flat",
        "apartment",
        "villa",
        "plot",
        "land",
        "penthouse",
        "studio",
        "duplex",
        "office",
        "shop",
        "commercial",
        "rowhouse",
        "bungalow",
        "house",
        "flats",
        "apartments",
        "plots",
        "villas",
    ];
    const ROOMS: &[&str] = &["bhk", "bedroom", "bedrooms", "bed", "bhks"];
    let words: Vec<&str> = said.split_whitespace().collect();
    let glued = |word: &str| word.ends_with("bhk") && word.len() > 3;
    let rooms = words.iter().position(|word| ROOMS.contains(word) || glued(word));
    let noun = words.iter().position(|word| NOUNS.contains(word));
    let (from, to) = match (rooms, noun) {
        (Some(rooms), Some(noun)) if noun > rooms && noun - rooms <= 2 => (rooms, noun),
        (Some(rooms), _) => (rooms, rooms),
        (None, Some(noun)) => (noun, noun),
        (None, None) => return None,
    };
    let mut first = from;
    while first > 0
        && rooms.is_some()
        && (is_number(words[first - 1]) || first < from && ["or", "to"].contains(&words[first - 1]))
    {
        first -= 1;
    }
    Some(words[first..=to].join(" "))
}

/// Places of the demo's lists: a recogniser without formatting writes them in lower case.
const PLACES: &[&str] = &[
    "whitefield",
    "hebbal",
    "sarjapur road",
    "sarjapur",
    "electronic city",
    "indiranagar",
    "koramangala",
    "hsr layout",
    "jayanagar",
    "yelahanka",
    "marathahalli",
    "bellandur",
    "bandra",
    "andheri",
    "powai",
    "thane",
    "navi mumbai",
    "gurgaon",
    "gurugram",
    "noida",
    "dwarka",
    "pune",
    "wakad",
    "baner",
    "hinjewadi",
    "kharadi",
    "bangalore",
    "bengaluru",
    "mumbai",
    "delhi",
    "hyderabad",
    "gachibowli",
    "kondapur",
    "chennai",
    "velachery",
    "kolkata",
    "goa",
    "ahmedabad",
    "jaipur",
    "kochi",
];

fn location(text: &str) -> Option<String> {
    let said = plain(text);
    let mut named: Vec<(usize, &str)> =
        PLACES.iter().filter_map(|place| Some((said.find(&format!(" {place} "))?, *place))).collect();
    named.sort_unstable_by_key(|(at, place)| (*at, std::cmp::Reverse(place.len())));
    // "sarjapur" stands in "sarjapur road" already.
    named.dedup_by(|later, earlier| later.0 < earlier.0 + earlier.1.len());
    if !named.is_empty() {
        return Some(named.iter().map(|(_, place)| title(place)).collect::<Vec<_>>().join(" or "));
    }
    // "... in Rajaji Nagar": capitals after a preposition.
    let words: Vec<&str> = text.split_whitespace().collect();
    let capital = |word: &str| {
        word.chars().next().is_some_and(char::is_uppercase)
            && word.len() > 2
            && !NOT_A_PLACE.contains(&plain(word).trim())
    };
    let start = words
        .windows(2)
        .position(|pair| ["in", "near", "around", "at", "towards"].contains(&pair[0]) && capital(pair[1]))?
        + 1;
    let mut place = Vec::new();
    for word in &words[start..] {
        if !capital(word) {
            break;
        }
        place.push(word.trim_matches(|c: char| !c.is_alphanumeric()));
        if word.ends_with([',', '.', '?', '!']) {
            break;
        }
    }
    Some(place.join(" "))
}

const NOT_A_PLACE: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "diwali",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// An answer without the words it is wrapped in.
fn without_preamble(said: &str) -> &str {
    const PREAMBLES: &[&str] = &[
        "well",
        "hmm",
        "hm",
        "mm",
        "hello",
        "hi",
        "um",
        "uh",
        "so",
        "yes",
        "yeah",
        "sure",
        "okay",
        "ok",
        "maybe",
        "i think",
        "i guess",
        "probably",
        "somewhere",
        "preferably",
        "i would prefer",
        "i'd prefer",
        "i prefer",
        "we prefer",
        "i am looking for",
        "i'm looking for",
        "i am looking",
        "i'm looking",
        "we are looking",
        "we're looking",
        "looking",
        "i would like",
        "i'd like",
        "i want",
        "we want",
        "it is",
        "it's",
        "my budget is",
        "our budget is",
        "around the",
        "in the",
        "in",
        "near",
        "for",
        "at",
        "something like",
        "something",
        "a",
        "an",
        "the",
        "no",
    ];
    let mut rest = said.trim();
    while let Some(after) = PREAMBLES.iter().find_map(|preamble| {
        let after = rest.strip_prefix(preamble)?;
        (after.is_empty() || after.starts_with(' ')).then(|| after.trim_start())
    }) {
        rest = after;
    }
    rest.trim_end_matches(" please").trim_end_matches(" area")
}

pub(super) fn title(text: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    text.split_whitespace()
        .map(|word| if ["or", "and", "near"].contains(&word) { word.to_owned() } else { capital(word) })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_may_say_several_things() {
        let facts =
            volunteered("I want a two bedroom flat in Whitefield under ninety lakhs, within three months, to live in.");
        let expected = [
            (Kind::Purpose, "own use"),
            (Kind::Budget, "under ninety lakhs"),
            (Kind::Timeline, "within three months"),
            (Kind::Location, "Whitefield"),
            (Kind::PropertyType, "two bedroom flat"),
        ];
        assert_eq!(facts, expected.map(|(kind, value)| (kind, value.to_owned())));
    }

    #[test]
    fn amounts_spans_and_places_are_cut_out_of_their_sentence() {
        let budget = |text| budget(&plain(text));
        assert_eq!(budget("about eighty to ninety lakhs I think").as_deref(), Some("about eighty to ninety lakhs"));
        assert_eq!(budget("up to 1.2 crore").as_deref(), Some("up to 1.2 crore"));
        assert_eq!(budget("75L").as_deref(), Some("75l"));
        assert_eq!(budget("lakhs of people"), None);
        let timeline = |text| timeline(&plain(text));
        assert_eq!(timeline("in the next six months").as_deref(), Some("in the next six months"));
        assert_eq!(timeline("I lived there for years"), None);
        assert_eq!(location("Maybe near Rajaji Nagar, or so").as_deref(), Some("Rajaji Nagar"));
        assert_eq!(location("whitefield or sarjapur road").as_deref(), Some("Whitefield or Sarjapur Road"));
        assert_eq!(location("I will decide in January"), None);
    }

    #[test]
    fn a_direct_answer_needs_no_keyword() {
        assert_eq!(answered(Kind::Location, "Somewhere in the old town, please").as_deref(), Some("Old Town"));
        assert_eq!(answered(Kind::Budget, "around fifty").as_deref(), Some("around fifty"));
        assert_eq!(answered(Kind::Budget, "what do you mean"), None);
    }
}
