//! Who asks: Basic credentials, and the account in the path.

use std::sync::Arc;

use axum::{
    extract::{FromRequestParts, OriginalUri},
    http::{header::AUTHORIZATION, request::Parts},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::{settings::Settings, twilio::error::TwilioError, world::World};

/// A request that is allowed in.
pub struct Account;

impl FromRequestParts<Arc<World>> for Account {
    type Rejection = TwilioError;

    async fn from_request_parts(parts: &mut Parts, world: &Arc<World>) -> Result<Self, TwilioError> {
        if !is_authorized(parts, &world.settings) {
            return Err(TwilioError::unauthorized());
        }
        let path = parts.extensions.get::<OriginalUri>().map_or(parts.uri.path(), |uri| uri.path());
        // `/2010-04-01/Accounts/{sid}/…`
        match path.split('/').nth(3) == Some(&world.settings.twilio_sid) {
            true => Ok(Self),
            false => Err(TwilioError::not_found()),
        }
    }
}

fn is_authorized(parts: &Parts, settings: &Settings) -> bool {
    let expected = BASE64_STANDARD.encode(format!("{}:{}", settings.twilio_sid, settings.twilio_token));
    parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .is_some_and(|(scheme, pair)| scheme.eq_ignore_ascii_case("basic") && pair.trim() == expected)
}

/// Any other path below the account.
pub async fn nothing_here(_account: Account) -> TwilioError {
    TwilioError::not_found()
}
