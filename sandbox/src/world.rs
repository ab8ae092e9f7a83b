//! Everything the simulated services share.

use std::sync::Arc;

use crate::{exotel::Carrier, faults::Faults, log::Log, s3, settings::Settings, speech::SpeechBank};

/// The outside world as the product meets it. `Arc<World>` is the state of every router.
pub struct World {
    pub log: Log,
    pub faults: Faults,
    pub speech: SpeechBank,
    pub settings: Settings,
    /// The simulated Exotel: its calls, flows, scripts and recordings.
    pub exotel: Carrier,
    /// The simulated object store.
    pub s3: s3::Store,
}

impl World {
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            log: Log::default(),
            faults: Faults::default(),
            speech: if settings.tones { SpeechBank::tones() } else { SpeechBank::new() },
            exotel: Carrier::new(&settings),
            s3: s3::Store::default(),
            settings,
        })
    }
}
