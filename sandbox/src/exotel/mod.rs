//! The simulated Exotel.

use crate::settings::Settings;

pub struct Carrier {}

impl Carrier {
    pub fn new(_settings: &Settings) -> Self {
        Self {}
    }
}
