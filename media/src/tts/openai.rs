//! OpenAI's speech over HTTP (`/v1/audio/speech`), a request per clause. Its models end on 2027-01-06 and no plain successor is
//! named: for installations that use it already.

use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde_json::json;
use url::Url;

use super::synth::{Made, Step, Synth};
use crate::{
    audio::decimate::Decimator,
    llm::{BuildError, cause_of},
    provider::{self, Provider, ProviderError},
};
use secrecy::SecretString;

/// One call's voice.
pub struct OpenAi {
    http: reqwest::Client,
    url: Url,
    authorization: HeaderValue,
    model: String,
    voice: String,
    asking: Option<Step<'static, reqwest::Response>>,
    response: Option<reqwest::Response>,
    decimator: Decimator,
}

impl OpenAi {
    /// Under `base_url`, which ends in `/v1`.
    pub fn new(
        http: reqwest::Client,
        base_url: &Url,
        api_key: &SecretString,
        model: &str,
        voice: &str,
    ) -> Result<Self, BuildError> {
        let mut url = base_url.clone();
        url.set_path(&format!("{}/audio/speech", base_url.path().trim_end_matches('/')));
        let authorization = crate::llm::openai::bearer(api_key).map_err(BuildError::Key)?;
        let (model, voice) = (model.to_owned(), voice.to_owned());
        let (asking, response, decimator) = (None, None, Decimator::default());
        Ok(Self { http, url, authorization, model, voice, asking, response, decimator })
    }

    fn ask(&mut self, text: &str) {
        let body = json!({"model": self.model, "input": text, "voice": self.voice, "response_format": "pcm",
            "stream_format": "audio"});
        let request = self.http.post(self.url.clone()).header(AUTHORIZATION, self.authorization.clone()).json(&body);
        self.decimator = Decimator::default();
        self.response = None;
        self.asking = Some(Box::pin(send(request)));
    }

    async fn read(&mut self) -> Result<Made, ProviderError> {
        if let Some(asking) = self.asking.as_mut() {
            let outcome = asking.await;
            self.asking = None;
            self.response = Some(outcome?);
        }
        let Some(response) = self.response.as_mut() else { return std::future::pending().await };
        match response.chunk().await {
            Ok(Some(bytes)) => Ok(Made::Sound(self.decimator.feed(&bytes))),
            Ok(None) => {
                self.response = None;
                Ok(Made::End)
            }
            Err(_) => {
                self.response = None;
                Err(ProviderError::Cut { cause: "transport".into() })
            }
        }
    }
}

impl Synth for OpenAi {
    fn provider(&self) -> Provider {
        Provider::OpenAi
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn fingerprint(&self) -> String {
        format!("openai/{}/{}", self.model, self.voice)
    }

    fn connect(&mut self) -> Step<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn speak<'a>(&'a mut self, text: &'a str) -> Step<'a, ()> {
        self.ask(text);
        Box::pin(std::future::ready(Ok(())))
    }

    fn next(&mut self) -> Step<'_, Made> {
        Box::pin(self.read())
    }

    /// Dropping the response is all that cancelling takes.
    fn cancel(&mut self) -> Step<'_, ()> {
        self.disconnect();
        Box::pin(std::future::ready(Ok(())))
    }

    fn keep_alive(&mut self) -> Step<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn is_listening(&self) -> bool {
        self.asking.is_some() || self.response.is_some()
    }

    fn disconnect(&mut self) {
        (self.asking, self.response) = (None, None);
    }
}

async fn send(request: reqwest::RequestBuilder) -> Result<reqwest::Response, ProviderError> {
    let unavailable = |error: reqwest::Error| ProviderError::Unavailable { cause: cause_of(&error).into() };
    let response = request.send().await.map_err(unavailable)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let code = response.bytes().await.ok().and_then(|body| provider::error_code(&body));
    Err(ProviderError::from_status(status, code.as_deref(), &headers))
}
