//! Uploaded lists, as long as it takes.

use std::fmt::Write;

/// What one file holds: below the product's own limits of rows and megabytes.
pub const ROWS_PER_FILE: usize = 100_000;

/// Zones in which it is an ordinary hour to call when it is one in the afternoon in India.
pub const ZONES: [&str; 30] = [
    "Asia/Riyadh",
    "Asia/Baghdad",
    "Asia/Kuwait",
    "Asia/Qatar",
    "Asia/Aden",
    "Asia/Tehran",
    "Asia/Dubai",
    "Asia/Baku",
    "Asia/Tbilisi",
    "Asia/Yerevan",
    "Asia/Kabul",
    "Asia/Karachi",
    "Asia/Tashkent",
    "Asia/Kolkata",
    "Asia/Colombo",
    "Asia/Kathmandu",
    "Asia/Dhaka",
    "Asia/Thimphu",
    "Asia/Yangon",
    "Asia/Bangkok",
    "Asia/Jakarta",
    "Asia/Ho_Chi_Minh",
    "Asia/Singapore",
    "Asia/Manila",
    "Asia/Shanghai",
    "Asia/Hong_Kong",
    "Asia/Taipei",
    "Asia/Kuala_Lumpur",
    "Australia/Perth",
    "Asia/Tokyo",
];

/// A list of `rows` people, numbered from `first`, spread over the first `zones` of [`ZONES`] (all in India's, if it is 1).
pub fn csv(first: usize, rows: usize, zones: usize) -> String {
    let mut text = String::from("name,phone,email,property_type,location,budget,time_zone,notes\r\n");
    for person in first..first + rows {
        let zone = if zones == 1 { "Asia/Kolkata" } else { ZONES[person % zones.min(ZONES.len())] };
        writeln!(
            text,
            "Person {person},+9198{person:08},person{person}@example.com,2BHK Apartment,Whitefield,50L - 75L,{zone},From the fair\r"
        )
        .expect("a string takes everything");
    }
    text
}
