//! Who asks: Basic credentials, the account in the path, and the rate limit.

use axum::{
    extract::{FromRequestParts, OriginalUri},
    http::{StatusCode, header::AUTHORIZATION, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::sync::Arc;

use crate::{
    exotel::{answer::Format, error::RestError},
    settings::Settings,
    world::World,
};

/// A request that is allowed in. Extracting it does all the checks, in the carrier's order.
pub struct Account {
    /// What the path asked for.
    pub format: Format,
}

/// A refusal in the format that the path asked for.
pub struct Refusal(RestError, Format);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.0.respond(self.1)
    }
}

impl FromRequestParts<Arc<World>> for Account {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, world: &Arc<World>) -> Result<Self, Refusal> {
        let path = parts.extensions.get::<OriginalUri>().map_or(parts.uri.path(), |uri| uri.path()).to_owned();
        let format = Format::of_path(&path);
        let refuse = |status, message: &str| Err(Refusal(RestError::new(status, message), format));
        if !is_authorized(parts, &world.settings) {
            return refuse(StatusCode::UNAUTHORIZED, "Authentication failed");
        }
        // `/v1/Accounts/{sid}/…`
        let names_account = path.split('/').nth(3) == Some(&world.settings.exotel_sid);
        if !names_account {
            return Err(Refusal(RestError::not_found(), format));
        }
        if !world.exotel.admit_request(world.settings.requests_per_minute) {
            return refuse(StatusCode::TOO_MANY_REQUESTS, "Too many requests, the limit per minute is reached");
        }
        Ok(Self { format })
    }
}

/// Whether the header is exactly `Basic base64(key:token)`.
pub fn is_authorized(parts: &Parts, settings: &Settings) -> bool {
    let expected = BASE64_STANDARD.encode(format!("{}:{}", settings.exotel_key, settings.exotel_token));
    parts
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .is_some_and(|(scheme, pair)| scheme.eq_ignore_ascii_case("basic") && pair.trim() == expected)
}

/// Any other path below the account.
pub async fn nothing_here(account: Account) -> Response {
    RestError::not_found().respond(account.format)
}
