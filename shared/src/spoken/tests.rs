use proptest::prelude::*;

use super::*;

fn all(tag: &str, cases: &[(&str, &str)]) {
    for (written, said) in cases {
        assert_eq!(spoken(written, tag), *said, "{written}");
        assert_eq!(spoken(said, tag), *said, "said twice: {written}");
    }
}

#[test]
fn english_says_prices_the_indian_way() {
    all(
        "en-IN",
        &[
            ("It is ₹75,00,000 all in.", "It is seventy five lakh rupees all in."),
            ("Rs. 1.25 Cr", "one point two five crore rupees"),
            ("Rs 50-60 lakhs?", "fifty to sixty lakh rupees?"),
            ("between 75L and 1.5 crores", "between seventy five lakh and one point five crore"),
            ("a rent of Rs. 25,000/- per month", "a rent of twenty five thousand rupees per month"),
            ("₹1,05,50,000", "one crore five lakh fifty thousand rupees"),
            ("about 45k rupees", "about forty five thousand rupees"),
            ("$5,000", "five thousand dollars"),
            (
                "A 2BHK of 1,250 sq. ft. on the 14th floor",
                "A two BHK of one thousand two hundred fifty square feet on the fourteenth floor",
            ),
            ("2-3 BHK", "two to three BHK"),
            ("8.5% interest", "eight point five percent interest"),
            ("We have 3 homes, 2 of them new.", "We have three homes, two of them new."),
            ("We have 3, maybe 4.", "We have three, maybe four."),
            ("nothing to change", "nothing to change"),
        ],
    );
}

#[test]
fn english_says_dates_times_and_codes() {
    all(
        "en-IN",
        &[
            ("on 24/11/2026 at 5:30 pm", "on the twenty fourth of November twenty twenty six at five thirty P M"),
            ("2026-11-24T17:00", "the twenty fourth of November twenty twenty six, five P M"),
            ("11/24/2026", "the twenty fourth of November twenty twenty six"),
            ("at 17:00 or 10:05", "at five P M or ten oh five"),
            ("5pm", "five P M"),
            ("possession by December 2027", "possession by December twenty twenty seven"),
            ("call +91 98450 12345.", "call nine one nine eight, four five zero one, two three four five."),
            ("98450 12345", "nine eight four, five zero one, two three four five"),
            ("PIN 560066", "PIN five six zero, zero six six"),
            ("3500000 rupees", "thirty five lakh rupees"),
        ],
    );
}

#[test]
fn hindi_says_halves_and_quarters_as_people_do() {
    all(
        "hi-IN",
        &[
            ("क़ीमत ₹75,00,000 है", "क़ीमत पचहत्तर लाख रुपये है"),
            ("1.5 करोड़", "डेढ़ करोड़"),
            ("₹2.5 Cr", "ढाई करोड़ रुपये"),
            ("3.5 लाख रुपये", "साढ़े तीन लाख रुपये"),
            ("1.25 करोड़", "सवा करोड़"),
            ("1.2 करोड़", "एक दशमलव दो करोड़"),
            ("५० लाख", "पचास लाख"),
            ("50-60 लाख", "पचास से साठ लाख"),
            ("कल 17:30 बजे", "कल शाम साढ़े पाँच बजे"),
            ("सुबह 10:15 बजे", "सुबह सवा दस बजे"),
            ("शाम 5 बजे", "शाम पाँच बजे"),
            ("24/11/2026 को", "चौबीस नवंबर दो हज़ार छब्बीस को"),
            ("2BHK", "दो BHK"),
            ("1,250 sq ft", "एक हज़ार दो सौ पचास वर्ग फ़ुट"),
            ("8%", "आठ प्रतिशत"),
            ("98450 12345", "नौ आठ चार, पाँच शून्य एक, दो तीन चार पाँच"),
        ],
    );
}

#[test]
fn other_languages_keep_digits_and_unfold_prices() {
    all("ta-IN", &[("₹75,00,000 ஆகும்", "75 லட்சம் ரூபாய் ஆகும்"), ("Rs. 1.25 Cr", "1.25 கோடி ரூபாய்"), ("2BHK", "2 BHK")]);
    all("te-IN", &[("₹1,20,00,000", "1.2 కోటి రూపాయలు"), ("3 గదులు", "3 గదులు")]);
    all("bn-IN", &[("₹25,000", "25000 টাকা"), ("50%", "50 শতাংশ")]);
}

const LANGUAGES: [&str; 14] = [
    "en-IN", "hi-IN", "hi-en", "bn-IN", "ta-IN", "te-IN", "kn-IN", "ml-IN", "mr-IN", "gu-IN", "pa-IN", "or-IN",
    "as-IN", "ur-IN",
];

#[test]
fn a_price_keeps_its_own_languages_words_in_their_order() {
    for (tag, cases) in [
        (
            "ta-IN",
            &[("₹75 லட்சம்", "75 லட்சம் ரூபாய்"), ("₹75 லட்சத்தில் வீடு", "75 லட்சத்தில் வீடு"), ("₹1.5 கோடி ரூபாய்", "1.5 கோடி ரூபாய்")]
                [..],
        ),
        (
            "te-IN",
            &[
                ("₹75 లక్షలు", "75 లక్షలు రూపాయలు"),
                ("₹75 లక్షల రూపాయలకు", "75 లక్షలు రూపాయలకు"),
                ("Rs. 2 కోట్లు", "2 కోటి రూపాయలు"),
            ],
        ),
        ("kn-IN", &[("₹75 ಲಕ್ಷ", "75 ಲಕ್ಷ ರೂಪಾಯಿ"), ("₹1.5 ಕೋಟಿ", "1.5 ಕೋಟಿ ರೂಪಾಯಿ")]),
        ("ml-IN", &[("₹75 ലക്ഷം", "75 ലക്ഷം രൂപ"), ("75 ലക്ഷത്തിന്", "75 ലക്ഷത്തിന്")]),
        ("mr-IN", &[("₹1.5 कोटी", "1.5 कोटी रुपये"), ("₹75 लाख", "75 लाख रुपये"), ("₹५० लाखांपर्यंत", "50 लाखांपर्यंत")]),
        ("bn-IN", &[("₹75 লাখ", "75 লাখ টাকা"), ("₹৭৫ লাখ", "75 লাখ টাকা"), ("৫০ লাখ টাকায়", "50 লাখ টাকায়")]),
        ("gu-IN", &[("₹75 લાખ", "75 લાખ રૂપિયા"), ("₹2 કરોડ", "2 કરોડ રૂપિયા")]),
        ("pa-IN", &[("₹75 ਲੱਖ", "75 ਲੱਖ ਰੁਪਏ"), ("₹25 ਹਜਾਰ", "25 ਹਜ਼ਾਰ ਰੁਪਏ")]),
        ("or-IN", &[("₹75 ଲକ୍ଷ", "75 ଲକ୍ଷ ଟଙ୍କା"), ("₹୭୫ ଲକ୍ଷ", "75 ଲକ୍ଷ ଟଙ୍କା")]),
        ("as-IN", &[("₹75 লাখ", "75 লাখ টকা"), ("₹25 হাজাৰ", "25 হাজাৰ টকা")]),
        ("ur-IN", &[("₹75 لاکھ", "75 لاکھ روپے"), ("₹2 کروڑ", "2 کروڑ روپے")]),
        (
            "hi-IN",
            &[
                ("₹1.5 करोड", "डेढ़ करोड़ रुपये"),
                ("₹2 कर\u{94b}\u{95c} रुपये", "दो करोड़ रुपये"),
                ("25 हजार रूपए", "पच्चीस हज़ार रुपये"),
                ("₹75 लाखों में", "पचहत्तर लाखों में"),
            ],
        ),
        // A word of another language is said in the one that is spoken.
        ("en-IN", &[("₹75 लाख", "seventy five lakh rupees"), ("₹2 కోట్లు", "two crore rupees")]),
    ] {
        all(tag, cases);
    }
}

#[test]
fn english_figures_are_said_as_they_are_meant() {
    all(
        "en-IN",
        &[
            ("₹25000-30000 per month", "twenty five thousand to thirty thousand rupees per month"),
            ("rent is 25000-30000", "rent is twenty five thousand to thirty thousand"),
            ("Rs 65500-75500", "sixty five thousand five hundred to seventy five thousand five hundred rupees"),
            ("65000-75000", "sixty five thousand to seventy five thousand"),
            ("3500000000 rupees", "three hundred fifty crore rupees"),
            ("98450-12345", "nine eight four, five zero one, two three four five"),
            ("call 98450-12345 today", "call nine eight four, five zero one, two three four five today"),
            ("₹50L-₹60L", "fifty lakh to sixty lakh rupees"),
            ("₹90 lakhs - 1.2 crores", "ninety lakh to one point two crore rupees"),
            ("2,3 BHK", "two, three BHK"),
            ("1,2,3 and 4 BHK", "one, two, three and four BHK"),
            ("1,250,000", "twelve lakh fifty thousand"),
            ("12,50,000", "twelve lakh fifty thousand"),
            ("₹4,500/sq ft", "four thousand five hundred rupees per square foot"),
            ("Rs. 4500/- per sq.ft.", "four thousand five hundred rupees per square foot."),
            ("₹25,000/month", "twenty five thousand rupees per month"),
            ("₹1.2 lakh/month", "one point two lakh rupees per month"),
            ("a flat of 1950 sq ft", "a flat of one thousand nine hundred fifty square feet"),
            ("a township of 2000 flats", "a township of two thousand flats"),
            ("the March of 1950", "the March of nineteen fifty"),
            ("a deposit of 1950 rupees", "a deposit of one thousand nine hundred fifty rupees"),
            ("5:30-6:30 pm", "five thirty to six thirty P M"),
            ("between 5-6 pm.", "between five to six P M."),
            ("11-1 pm", "eleven A M to one P M"),
            ("10 am - 5 pm", "ten A M to five P M"),
            ("17:30-18:30", "five thirty to six thirty P M"),
            ("come at 5:30 pm.", "come at five thirty P M."),
            ("24x7 security, 24/7", "twenty four seven security, twenty four seven"),
            ("a 30x40 site", "a thirty by forty site"),
            ("PIN 560100", "PIN five six zero, one zero zero"),
            ("the pincode is 560 100.", "the pincode is five six zero, one zero zero."),
            ("PIN code: 560066", "PIN code: five six zero, zero six six"),
            ("OTP 4521", "OTP four five two one"),
            ("560100 of them", "five lakh sixty thousand one hundred of them"),
            ("prices fell -5%", "prices fell minus five percent"),
            ("-₹500 a month", "minus five hundred rupees a month"),
            ("5 -10 lakh", "five to ten lakh"),
            ("50-60%", "fifty to sixty percent"),
            ("Block B2, flat C-204", "Block B two, flat C-two hundred four"),
        ],
    );
}

#[test]
fn hindi_figures_are_said_as_they_are_meant() {
    all(
        "hi-IN",
        &[
            ("किराया ₹25000-30000 है", "किराया पच्चीस हज़ार से तीस हज़ार रुपये है"),
            ("किराया 25000-30000 है", "किराया पच्चीस हज़ार से तीस हज़ार है"),
            ("2,3 BHK", "दो, तीन BHK"),
            ("₹4,500/sq ft", "चार हज़ार पाँच सौ रुपये प्रति वर्ग फ़ुट"),
            ("₹25,000/month", "पच्चीस हज़ार रुपये प्रति महीना"),
            ("1950 sq ft का फ्लैट", "एक हज़ार नौ सौ पचास वर्ग फ़ुट का फ्लैट"),
            ("साल 1995 में", "साल उन्नीस सौ पचानवे में"),
            ("दिसंबर 2027 तक", "दिसंबर दो हज़ार सत्ताईस तक"),
            ("शाम 5:30-6:30 बजे", "शाम साढ़े पाँच से साढ़े छह बजे"),
            ("5:30-6:30 pm", "शाम साढ़े पाँच से साढ़े छह बजे"),
            ("शाम 5-6 बजे", "शाम पाँच से छह बजे"),
            ("24x7 सुरक्षा", "चौबीसों घंटे सुरक्षा"),
            ("30x40 का प्लॉट", "तीस बाई चालीस का प्लॉट"),
            ("पिन 560100", "पिन पाँच छह शून्य, एक शून्य शून्य"),
            ("पिन कोड ५६०१०० है", "पिन कोड पाँच छह शून्य, एक शून्य शून्य है"),
            ("-5 डिग्री", "माइनस पाँच डिग्री"),
            ("50-60%", "पचास से साठ प्रतिशत"),
        ],
    );
}

#[test]
fn the_other_languages_write_out_what_their_voices_would_stumble_over() {
    all(
        "ta-IN",
        &[
            ("₹25000-30000", "25000-30000 ரூபாய்"),
            ("₹4,500/sq ft", "4500 ரூபாய் சதுர அடிக்கு"),
            ("₹25,000/month", "25000 ரூபாய் மாதத்திற்கு"),
            ("2,3 BHK", "2, 3 BHK"),
            ("5:30-6:30 pm", "5:30-6:30 PM"),
            ("5-6 pm", "5-6 PM"),
            ("பின் கோடு 560100", "பின் கோடு 5 6 0, 1 0 0"),
            ("98450 12345", "9 8 4, 5 0 1, 2 3 4 5"),
        ],
    );
}

#[test]
fn a_moment_for_a_callback_is_said_with_its_day() {
    let said = moment("2026-11-24T17:00", "en-IN");
    assert_eq!(said.as_deref(), Some("Tuesday, the twenty fourth of November twenty twenty six, five P M"));
    assert_eq!(moment("2026-11-24T17:00:00+05:30", "en-IN"), said);
    assert_eq!(moment("tomorrow evening", "en-IN"), None);
}

#[test]
fn hinglish_is_said_with_english_numbers() {
    assert_eq!(spoken("Aapka budget ₹75,00,000 hai?", "hi-en"), "Aapka budget seventy five lakh rupees hai?");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_no_digit_is_left_to_be_misread(text in "[0-9a-z₹$%,.:/ +\\-]{0,60}") {
        for tag in ["en-IN", "hi-IN"] {
            let said = spoken(&text, tag);
            prop_assert!(!said.chars().any(|c| c.is_ascii_digit()), "{tag}: {text:?} -> {said:?}");
        }
        let _whatever = spoken(&text, "ta-IN");
    }

    #[test]
    fn every_number_is_said_in_full(n in 0_u64..1_000_000_000_000) {
        for tag in ["en-IN", "hi-IN"] {
            let said = spoken(&format!("{n} rupees"), tag).into_owned();
            prop_assert!(!said.chars().any(|c| c.is_ascii_digit()), "{}", said);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    /// Whatever the models write of it, in whatever language.
    #[test]
    fn saying_a_price_twice_changes_nothing_in_any_language(
        unit in prop::sample::select(vec!["", "₹", "Rs. ", "$", "-", "INR "]),
        figure in prop::sample::select(vec!["75", "1.5", "75,00,000", "25000-30000", "2,3", "0.75", "50-₹60", "৭৫", "560100"]),
        scale in prop::sample::select(money_words::scales().split('|').map(str::to_owned).chain(["".into(), "L".into(), "லட்சத்தில்".into()]).collect::<Vec<String>>()),
        after in prop::sample::select(money_words::rupees().split('|').map(str::to_owned).chain(["".into(), "/-".into(), "/sq ft".into(), "/month".into(), "%".into(), "sq ft".into(), "pm".into(), "ரூபாய்க்கு".into()]).collect::<Vec<String>>()),
        space in prop::sample::select(vec!["", " "]),
    ) {
        let text = format!("x {unit}{figure}{space}{scale} {after} y");
        for tag in LANGUAGES {
            let once = spoken(&text, tag).into_owned();
            prop_assert_eq!(&*spoken(&once, tag), &*once, "{} in {}", text, tag);
            let told = once.matches(spoken("₹5", tag).split(' ').next_back().unwrap()).count();
            // Two prices are two.
            prop_assert!(told <= 1 + usize::from(text.contains("2,3")), "{} is {} in {}", text, once, tag);
        }
    }
}
