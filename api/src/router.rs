//! Every route, and what stands around them.

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::error::ApiError;
use crate::state::App;
use crate::{
    account, agent_calls, alerts, analytics, calls, campaign_lifecycle, campaigns, connect, do_not_call, exports,
    forecast, health, imports, leads, messages, observe, passthru, preflight, recordings, sessions, twilio, uploads,
    voice_agents, voicemail_recordings, webhooks,
};

const JSON_BODY_BYTES: usize = 1024 * 1024;
/// What a form adds to its file.
const FORM_OVERHEAD_BYTES: usize = 64 * 1024;
const REQUEST_BOUND: Duration = Duration::from_secs(30);
/// A large XLSX file is written whole before its first byte can be sent; an upload arrives at its sender's pace.
const TRANSFER_BOUND: Duration = Duration::from_secs(300);

/// The whole application.
pub fn router(app: App) -> Router {
    let (router, openapi) = routes(app.max_upload_bytes).split_for_parts();
    router
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document(openapi)))
        .fallback(async || ApiError::refused(StatusCode::NOT_FOUND, "no_such_path", "there is nothing under this path"))
        .method_not_allowed_fallback(async || {
            let detail = "this path does not take this method; see /docs";
            ApiError::refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        })
        .layer(CatchPanicLayer::custom(observe::after_panic))
        .layer(from_fn(observe::secure))
        .layer(from_fn(observe::observe))
        .with_state(app)
}

fn routes(max_upload_bytes: usize) -> OpenApiRouter<App> {
    let quick = OpenApiRouter::new()
        .routes(routes!(campaigns::create_campaign, campaigns::list_campaigns))
        .routes(routes!(campaigns::get_campaign, campaigns::update_campaign, campaigns::delete_campaign))
        .routes(routes!(campaign_lifecycle::start_campaign))
        .routes(routes!(campaign_lifecycle::pause_campaign))
        .routes(routes!(campaign_lifecycle::resume_campaign))
        .routes(routes!(campaign_lifecycle::stop_campaign))
        .routes(routes!(preflight::preflight_campaign))
        .routes(routes!(forecast::forecast_campaign))
        .routes(routes!(account::get_account, account::update_account))
        .routes(routes!(account::get_tool_secret))
        .routes(routes!(uploads::get_csv_sample))
        .routes(routes!(leads::list_leads))
        .routes(routes!(imports::list_imports))
        .routes(routes!(imports::get_import))
        .routes(routes!(imports::list_rejections))
        .routes(routes!(imports::download_rejections))
        .routes(routes!(calls::list_calls))
        .routes(routes!(calls::get_call))
        .routes(routes!(recordings::get_recording, recordings::delete_recording))
        .routes(routes!(agent_calls::get_agent_recording))
        .routes(routes!(agent_calls::get_agent_transcript))
        .routes(routes!(sessions::list_sessions))
        .routes(routes!(analytics::get_campaign_analytics))
        .routes(routes!(alerts::list_alerts))
        .routes(routes!(alerts::acknowledge_alert))
        .routes(routes!(do_not_call::list_do_not_call, do_not_call::add_do_not_call, do_not_call::remove_do_not_call))
        .routes(routes!(voice_agents::list_voice_agents, voice_agents::create_voice_agent))
        .routes(routes!(voice_agents::get_voice_agent, voice_agents::replace_voice_agent))
        .routes(routes!(health::get_health))
        .routes(routes!(health::get_readiness))
        .routes(routes!(health::get_metrics))
        .layer(DefaultBodyLimit::max(JSON_BODY_BYTES))
        .layer(from_fn(|request, next| observe::bounded(REQUEST_BOUND, request, next)));
    let hooks = OpenApiRouter::new()
        .routes(routes!(webhooks::post_call_status, webhooks::get_call_status))
        .routes(routes!(passthru::get_passthru, passthru::post_passthru))
        .routes(routes!(connect::get_connection))
        .routes(routes!(connect::get_dialed, connect::post_dialed))
        .routes(routes!(messages::post_sms, messages::get_sms))
        .routes(routes!(messages::post_sms_status))
        .routes(routes!(twilio::voice::post_voice))
        .routes(routes!(twilio::whisper::post_whisper))
        .routes(routes!(twilio::dialed::post_dialed))
        .routes(routes!(twilio::dialed::post_fallback))
        .routes(routes!(twilio::post_sms))
        .routes(routes!(twilio::gathered::voicemail::get_recording))
        .routes(routes!(twilio::post_status))
        .routes(routes!(twilio::post_sms_status))
        .routes(routes!(twilio::post_recording))
        .routes(routes!(twilio::post_machine_detection))
        .layer(DefaultBodyLimit::max(webhooks::body_limit()))
        .layer(from_fn(|request, next| observe::bounded(REQUEST_BOUND, request, next)));
    let transfers = OpenApiRouter::new()
        .routes(routes!(uploads::upload_csv))
        .routes(routes!(
            voicemail_recordings::put_voicemail_recording,
            voicemail_recordings::get_voicemail_recording,
            voicemail_recordings::delete_voicemail_recording
        ))
        .routes(routes!(exports::export_calls))
        .layer(DefaultBodyLimit::max(max_upload_bytes.max(voicemail_recordings::MAX_BYTES) + FORM_OVERHEAD_BYTES))
        .layer(from_fn(|request, next| observe::bounded(TRANSFER_BOUND, request, next)));
    quick.merge(hooks).merge(transfers)
}

/// The document, with what the handlers cannot say.
fn document(paths: OpenApi) -> OpenApi {
    let description = "Calling campaigns with AI voice agents. Errors are RFC 9457 problems with a stable `code`; lists \
        page by `cursor` and `limit`, or by `page` and `page_size`.";
    let info = InfoBuilder::new().title("Trunkline").version(env!("CARGO_PKG_VERSION")).description(Some(description));
    let mut document = OpenApiBuilder::new().info(info.build()).build();
    document.merge(paths);
    let components = document.components.get_or_insert_default();
    components
        .add_security_scheme("bearer", SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()));
    components.add_security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))));
    let no_scopes = Vec::<String>::new;
    document.security =
        Some(vec![SecurityRequirement::new("bearer", no_scopes()), SecurityRequirement::new("api_key", no_scopes())]);
    document
}

/// The OpenAPI document alone.
#[must_use]
pub fn openapi() -> OpenApi {
    document(routes(0).split_for_parts().1)
}
