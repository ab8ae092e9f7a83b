//! Indian numbers in the many ways that callers write them.

/// The ten national digits by which the carrier recognises a number, or `None` if it is not one
/// that can be dialed: `+919876543210`, `09876543210`, `919876543210` and `9876543210` are the same
/// phone; a landline keeps its STD code.
pub fn national(number: &str) -> Option<String> {
    let plus = number.trim().starts_with('+');
    if number.chars().any(|c| !(c.is_ascii_digit() || matches!(c, '+' | ' ' | '-' | '(' | ')'))) {
        return None;
    }
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let national = match digits.len() {
        10 if !plus => digits.as_str(),
        11 if !plus => digits.strip_prefix('0')?,
        12 => digits.strip_prefix("91")?,
        14 if !plus => digits.strip_prefix("0091")?,
        _ => return None,
    };
    // Mobile numbers begin with 6 to 9, STD codes with 1 to 8: only 0 begins neither.
    (!national.starts_with('0')).then(|| national.to_owned())
}

/// As Exotel writes numbers: `09876543210`.
pub fn zero_prefixed(number: &str) -> String {
    national(number).map_or_else(|| number.to_owned(), |national| format!("0{national}"))
}

/// Whether both texts name the same phone.
pub fn same(one: &str, other: &str) -> bool {
    match (national(one), national(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_phone_has_many_spellings() {
        for spelling in
            ["+919999900001", "09999900001", "919999900001", "9999900001", "+91 99999-00001", "0 99999 00001"]
        {
            assert_eq!(national(spelling).as_deref(), Some("9999900001"), "{spelling}");
        }
        assert_eq!(zero_prefixed("+918047112233"), "08047112233");
        assert!(same("08047112233", "+918047112233"));
    }

    #[test]
    fn what_cannot_be_dialed_is_no_number() {
        for wrong in ["", "12345", "+14155550100", "99999x0001", "+9999900001", "0000000000"] {
            assert_eq!(national(wrong), None, "{wrong}");
        }
    }
}
