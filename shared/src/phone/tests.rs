use super::*;

fn india(text: &str) -> Result<String, PhoneError> {
    Phone::parse(text, "IN").map(String::from)
}

fn reason(text: &str, region: &str) -> &'static str {
    Phone::parse(text, region).unwrap_err().code()
}

#[test]
fn an_indian_mobile_number_is_understood_however_it_is_written() {
    for text in [
        "9876543210",
        "09876543210",
        "919876543210",
        "0919876543210",
        "00919876543210",
        "+919876543210",
        "+91 09876543210",
        "+91 (0) 98765 43210",
        "(+91) 98765-43210",
        " 98765 43210 ",
        "98765-43210",
        "98765.43210",
        "[98765] 43210",
        "'9876543210",
        "’9876543210",
        "=\"9876543210\"",
        "tel:+91-98765-43210",
        "TEL:9876543210",
        "p:+919876543210",
        "919876543210.0",
        "9876543210.00",
        "+९१ ९८७६५ ४३२१०",
        "٩٨٧٦٥٤٣٢١٠",
        "９８７６５４３２１０",
        "\u{202a}+91\u{a0}98765\u{a0}43210\u{202c}",
        "98765–43210",
        "＋919876543210",
    ] {
        assert_eq!(india(text).as_deref(), Ok("+919876543210"), "{text}");
    }
}

#[test]
fn a_mobile_number_that_begins_with_the_country_code_keeps_all_its_digits() {
    assert_eq!(india("9198765432").as_deref(), Ok("+919198765432"));
    assert_eq!(india("+919198765432").as_deref(), Ok("+919198765432"));
}

#[test]
fn numbers_of_other_countries_and_landlines_are_understood() {
    for (text, region, e164) in [
        ("022 2345 6789", "IN", "+912223456789"),
        ("+1 (415) 555-2671", "IN", "+14155552671"),
        ("(415) 555-2671", "US", "+14155552671"),
        ("14155552671", "us", "+14155552671"),
        ("011 91 98765 43210", "US", "+919876543210"),
        ("07911 123456", "GB", "+447911123456"),
        ("447911123456", "GB", "+447911123456"),
        ("+44 (0)20 7946 0958", "IN", "+442079460958"),
        ("0501234567", "AE", "+971501234567"),
        ("+971501234567", "IN", "+971501234567"),
        // Italy keeps the zero, whatever the default region does with its own.
        ("+39 06 12345678", "IN", "+390612345678"),
        ("06 12345678", "IT", "+390612345678"),
        ("030/2345678", "DE", "+49302345678"),
    ] {
        assert_eq!(Phone::parse(text, region).map(String::from).as_deref(), Ok(e164), "{text} in {region}");
    }
}

#[test]
fn what_cannot_be_called_is_refused_with_its_reason() {
    for (text, region, code) in [
        ("", "IN", "phone_missing"),
        (" '  ", "IN", "phone_missing"),
        ("9.18E+11", "IN", "phone_scientific_notation"),
        ("9,18E+11", "IN", "phone_scientific_notation"),
        ("9.18e11", "IN", "phone_scientific_notation"),
        ("9876543210/9123456780", "IN", "phone_several_numbers"),
        ("9876543210, 9123456780", "IN", "phone_several_numbers"),
        ("9876543210 9123456780", "IN", "phone_several_numbers"),
        ("9876543210 or 9123456780", "IN", "phone_several_numbers"),
        ("+919876543210+919123456780", "IN", "phone_several_numbers"),
        ("not known", "IN", "phone_not_a_number"),
        ("ravi@example.com", "IN", "phone_not_a_number"),
        ("----", "IN", "phone_not_a_number"),
        ("+", "IN", "phone_not_a_number"),
        ("*121#", "IN", "phone_not_a_number"),
        ("98765abcde", "IN", "phone_not_a_number"),
        ("1-800-FLOWERS", "US", "phone_not_a_number"),
        ("9876543210 ext 12", "IN", "phone_extension"),
        ("(415) 555-2671 x302", "US", "phone_extension"),
        ("100", "IN", "phone_too_short"),
        ("112", "IN", "phone_too_short"),
        ("911", "US", "phone_too_short"),
        ("12345", "IN", "phone_too_short"),
        ("+91100", "IN", "phone_not_assigned"),
        ("987654321", "IN", "phone_not_in_region"),
        ("98765432101", "IN", "phone_not_in_region"),
        ("5876543210123", "IN", "phone_not_in_region"),
        ("447911123456", "IN", "phone_not_in_region"),
        ("12345678901234567", "IN", "phone_too_long"),
        ("+12345678901234567", "IN", "phone_too_long"),
        ("+999123456789", "IN", "phone_unknown_country_code"),
        ("+9198765", "IN", "phone_not_assigned"),
        ("18601234567", "IN", "phone_premium_rate"),
        ("9005551234", "US", "phone_premium_rate"),
        ("09011234567", "GB", "phone_premium_rate"),
        ("+881612345678", "IN", "phone_premium_rate"),
        ("18001234567", "IN", "phone_service_number"),
        ("9876543211", "Narnia", "phone_unknown_region"),
    ] {
        assert_eq!(reason(text, region), code, "{text} in {region}");
    }
    assert_eq!(reason(&"9".repeat(5000), "IN"), "phone_not_a_number");
}

#[test]
fn a_number_with_its_country_code_needs_no_known_region() {
    assert_eq!(Phone::parse("+919876543210", "").unwrap().as_str(), "+919876543210");
}

#[test]
fn neither_display_nor_debug_shows_the_number() {
    for (e164, masked) in [("+919876540012", "+91…0012"), ("+14155552671", "+1…2671"), ("+971501234567", "+971…4567")]
    {
        let phone = Phone::from_e164(e164).unwrap();
        assert_eq!(phone.to_string(), masked);
        assert_eq!(format!("{phone:?}"), format!("Phone({masked})"));
    }
}

#[test]
fn an_error_never_repeats_the_digits() {
    for text in ["98765432101", "9876543210/9123456780", "9.18E+11", "+999123456789"] {
        let error = Phone::parse(text, "IN").unwrap_err();
        let shown = format!("{error} {error:?}").replace("9.18E+11", "");
        assert!(!shown.contains("9876") && !shown.contains("9991"), "{shown}");
    }
}

#[test]
fn json_holds_the_full_number_and_refuses_what_is_not_e164() {
    let phone: Phone = serde_json::from_str("\"+919876543210\"").unwrap();
    assert_eq!(serde_json::to_string(&phone).unwrap(), "\"+919876543210\"");
    for bad in ["9876543210", "+0123456789", "+91 98765", "+123", "+1234567890123456", "+91९८७६५४३२१०", ""]
    {
        assert!(serde_json::from_value::<Phone>(bad.into()).is_err(), "{bad}");
    }
}

#[test]
fn the_country_and_its_zones_follow_from_the_number() {
    for (e164, country, zones) in [
        ("+919876543210", "IN", "Asia/Kolkata"),
        ("+442079460958", "GB", "Europe/London"),
        ("+390612345678", "IT", "Europe/Rome"),
        ("+4915112345678", "DE", "Europe/Berlin"),
        // Area codes say where.
        ("+12125552671", "US", "America/New_York"),
        ("+14155552671", "US", "America/Los_Angeles"),
        ("+14165551234", "CA", "America/Toronto"),
        ("+18765551234", "JM", "America/Jamaica"),
        ("+551123456789", "BR", "America/Sao_Paulo"),
        ("+74951234567", "RU", "Europe/Moscow"),
        // Some spread over two times.
        ("+61755501234", "AU", "Australia/Brisbane&Australia/Sydney"),
        ("+12082001234", "US", "America/Denver&America/Los_Angeles"),
        // Mobile numbers that are bound to no place: anywhere in their country.
        (
            "+61412345678",
            "AU",
            "Australia/Adelaide&Australia/Brisbane&Australia/Eucla&Australia/Lord_Howe&Australia/Perth&Australia/Sydney",
        ),
        ("+593991234567", "EC", "America/Guayaquil&Pacific/Galapagos"),
        ("+34612345678", "ES", "Atlantic/Canary&Europe/Madrid"),
        ("+77710009998", "KZ", "Asia/Almaty"),
    ] {
        let phone = Phone::from_e164(e164).unwrap();
        let found = phone.time_zones(phone.country()).map(ToString::to_string);
        assert_eq!((phone.country(), found.as_deref()), (country, Some(zones)), "{e164}");
    }
    let nobodys = Phone::from_e164("+999123456789").unwrap();
    assert_eq!((nobodys.country(), nobodys.time_zones("ZZ")), ("ZZ", None));
    let russian_mobile = Phone::from_e164("+79123456789").unwrap();
    assert_eq!(russian_mobile.time_zones("RU").unwrap().zones().len(), 10);
}

#[test]
fn exotel_gets_an_indian_number_with_its_zero() {
    assert_eq!(Phone::from_e164("+919876543210").unwrap().national_with_zero().as_deref(), Some("09876543210"));
    assert_eq!(Phone::from_e164("+14155552671").unwrap().national_with_zero(), None);
}

#[test]
fn every_indian_mobile_prefix_is_accepted() {
    for prefix in 6000..10_000 {
        assert!(india(&format!("{prefix}000123")).is_ok(), "{prefix}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_text_makes_it_panic_and_what_it_returns_is_e164(text in "\\PC{0,40}", digits in "[+0-9 ()./-]{0,24}") {
        for text in [text, digits] {
            for region in ["IN", "US", "GB", "IT", "??"] {
                if let Ok(phone) = Phone::parse(&text, region) {
                    proptest::prop_assert!(Phone::from_e164(phone.as_str()).is_ok());
                    proptest::prop_assert_eq!(Phone::parse(phone.as_str(), "US"), Ok(phone.clone()));
                    let masked = phone.to_string();
                    proptest::prop_assert!(!masked.contains(&phone.as_str()[1..]));
                }
            }
        }
    }
}
