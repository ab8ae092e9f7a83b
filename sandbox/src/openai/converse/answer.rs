//! An answer of the model: what it says and calls, as messages at their times.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    config::Config,
    items::{Item, Items, What},
};
use crate::{
    brain::{self, Choice, Reply, Role},
    speech::{SpeechBank, ulaw},
};

/// From the request to the first audio.
const TTFB_MS: u64 = 250;
/// How many times faster than it is spoken audio is made.
const SPEED: u64 = 6;
/// Audio in one message.
const CHUNK_MS: usize = 100;
/// A token of audio made, and of audio heard.
const MS_PER_TOKEN_OUT: u64 = 50;
pub(super) const MS_PER_TOKEN_IN: u64 = 100;

/// What an answer was asked to be, beside the conversation.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub instructions: Option<String>,
    pub choice: Option<Choice>,
    pub metadata: Value,
}

/// How it goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Troubles {
    pub slow_ms: Option<u64>,
    pub stall_at_ms: Option<u64>,
    pub cut_at_ms: Option<u64>,
    pub fails: bool,
}

/// One message of the answer.
#[derive(Debug, Clone)]
pub(super) enum Out {
    Say(Value),
    /// So much of the item's audio has been made with this.
    Audio(Value, u64),
    /// All is said; its usage is told.
    Done,
    Cut,
}

/// The answer being made.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub id: String,
    pub metadata: Value,
    pub items: Vec<Item>,
    /// Audio of the spoken item that was sent.
    pub made_ms: u64,
    pub audio_ms: u64,
    pub outs: Vec<(Instant, Out)>,
}

impl Answer {
    pub(super) fn shown(&self, status: &str, usage: &Value) -> Value {
        let output: Vec<Value> = self.items.iter().map(|item| item.shown(status)).collect();
        json!({"object": "realtime.response", "id": self.id, "status": status, "status_details": null,
            "output": if status == "in_progress" { Vec::new() } else { output }, "metadata": self.metadata, "usage": usage})
    }

    /// Says and calls it.
    pub(super) async fn make(
        bank: &SpeechBank,
        config: &Config,
        reply: Reply,
        asked: &Asked,
        troubles: Troubles,
        new_id: &mut impl FnMut(&str) -> String,
    ) -> Self {
        let mut answer = Self {
            id: new_id("resp"),
            metadata: asked.metadata.clone(),
            items: Vec::new(),
            made_ms: 0,
            audio_ms: 0,
            outs: Vec::new(),
        };
        let now = Instant::now();
        let begins = now + Duration::from_millis(troubles.slow_ms.unwrap_or(TTFB_MS));
        let created = json!({"type": "response.created", "response": answer.shown("in_progress", &Value::Null)});
        answer.outs.push((now, Out::Say(created)));
        let mut at = begins;
        if !troubles.fails && !reply.text.is_empty() {
            at = answer.speak(bank, config, &reply.text, troubles, new_id("item"), begins).await;
        }
        if !troubles.fails {
            for call in reply.calls {
                answer.call(new_id("item"), new_id("call"), call, at);
            }
        }
        answer.outs.push((at, Out::Done));
        answer
    }

    async fn speak(
        &mut self,
        bank: &SpeechBank,
        config: &Config,
        text: &str,
        troubles: Troubles,
        item_id: String,
        begins: Instant,
    ) -> Instant {
        let utterance = bank.say(text, &config.voice).await;
        // What took us long to say was not said in the meantime.
        let begins = begins.max(Instant::now());
        let words = utterance.words.iter().map(|word| (word.word.clone(), word.end_ms)).collect();
        self.audio_ms = utterance.duration_ms();
        let what = What::Said { role: Role::Assistant, text: text.to_owned(), spoken: Some((words, self.audio_ms)) };
        let item = Item { id: item_id.clone(), what };
        let place =
            json!({"response_id": self.id, "item_id": item_id, "output_index": self.items.len(), "content_index": 0});
        let event = |kind: &str, more: Value| {
            let mut event = place.clone();
            event["type"] = kind.into();
            if let (Some(event), Some(more)) = (event.as_object_mut(), more.as_object()) {
                event.extend(more.clone());
            }
            event
        };
        let empty = json!({"id": item_id, "object": "realtime.item", "type": "message", "role": "assistant",
            "status": "in_progress", "content": []});
        self.say(begins, json!({"type": "response.output_item.added", "response_id": self.id, "output_index": self.items.len(), "item": empty}));
        self.say(begins, json!({"type": "conversation.item.added", "previous_item_id": null, "item": empty}));
        self.say(begins, event("response.content_part.added", json!({"part": {"type": "audio", "transcript": ""}})));
        let mut told = 0;
        let mut at = begins;
        for (number, chunk) in utterance.pcm.chunks(8 * CHUNK_MS).enumerate() {
            let starts_ms = (number * CHUNK_MS) as u64;
            at = begins + Duration::from_millis(starts_ms / SPEED);
            if troubles.cut_at_ms.is_some_and(|cut| starts_ms >= cut) {
                self.outs.push((at, Out::Cut));
            }
            if troubles.stall_at_ms.is_some_and(|stall| starts_ms >= stall) {
                // The end will not come either.
                at += Duration::from_secs(3_600);
            }
            // The words of the next second, a little ahead of their sound.
            let upto = utterance.words.iter().take_while(|word| word.start_ms < starts_ms + 1_000).count();
            if upto > told {
                let lead = if told == 0 { "" } else { " " };
                let delta: Vec<&str> = utterance.words[told..upto].iter().map(|word| word.word.as_str()).collect();
                told = upto;
                let delta = json!({"delta": format!("{lead}{}", delta.join(" "))});
                self.say(at, event("response.output_audio_transcript.delta", delta));
            }
            let codes: Vec<u8> = chunk.iter().map(|sample| ulaw::encode(*sample)).collect();
            let made_ms = (starts_ms + CHUNK_MS as u64).min(self.audio_ms);
            let audio = event("response.output_audio.delta", json!({"delta": STANDARD.encode(codes)}));
            self.outs.push((at, Out::Audio(audio, made_ms)));
        }
        self.say(at, event("response.output_audio.done", json!({})));
        self.say(at, event("response.output_audio_transcript.done", json!({"transcript": text})));
        let part = json!({"part": {"type": "audio", "transcript": text}});
        self.say(at, event("response.content_part.done", part));
        self.finished(item, at);
        at
    }

    fn call(&mut self, item_id: String, call_id: String, call: brain::Call, at: Instant) {
        let arguments = call.arguments.to_string();
        let place =
            json!({"response_id": self.id, "item_id": item_id, "output_index": self.items.len(), "call_id": call_id});
        let name = call.name.clone();
        let item = Item { id: item_id, what: What::Call { call_id, call } };
        let added = json!({"type": "response.output_item.added", "response_id": self.id,
            "output_index": self.items.len(), "item": item.shown("in_progress")});
        self.say(at, added);
        let with = |more: Value| {
            let mut event = place.clone();
            if let (Some(event), Some(more)) = (event.as_object_mut(), more.as_object()) {
                event.extend(more.clone());
            }
            event
        };
        let half = arguments.len() / 2;
        let half = (0..=half).rev().find(|at| arguments.is_char_boundary(*at)).unwrap_or(0);
        for delta in [&arguments[..half], &arguments[half..]] {
            self.say(at, with(json!({"type": "response.function_call_arguments.delta", "delta": delta})));
        }
        let done = json!({"type": "response.function_call_arguments.done", "name": name, "arguments": arguments});
        self.say(at, with(done));
        self.finished(item, at);
    }

    fn finished(&mut self, item: Item, at: Instant) {
        let shown = item.shown("completed");
        let done = json!({"type": "response.output_item.done", "response_id": self.id,
            "output_index": self.items.len(), "item": shown});
        self.say(at, done);
        self.say(at, json!({"type": "conversation.item.done", "previous_item_id": null, "item": shown}));
        self.items.push(item);
    }

    fn say(&mut self, at: Instant, event: Value) {
        self.outs.push((at, Out::Say(event)));
    }

    /// `context` and `cached` in text tokens, `heard` in tokens of audio.
    pub(super) fn usage(&self, context: u64, cached: u64, heard: u64) -> Value {
        let (audio, text) = (self.made_ms / MS_PER_TOKEN_OUT, 10 + self.items.len() as u64 * 8);
        json!({"total_tokens": context + heard + audio + text, "input_tokens": context + heard, "output_tokens": audio + text,
            "input_token_details": {"text_tokens": context, "audio_tokens": heard, "image_tokens": 0, "cached_tokens": cached,
                "cached_tokens_details": {"text_tokens": cached, "audio_tokens": 0, "image_tokens": 0}},
            "output_token_details": {"text_tokens": text, "audio_tokens": audio}})
    }
}

/// What the model makes of the conversation.
pub(super) fn think(config: &Config, items: &Items, asked: &Asked) -> Reply {
    let choice = asked.choice.clone().unwrap_or_else(|| config.choice.clone());
    if let Some(instructions) = &asked.instructions {
        let exactly = instructions.to_lowercase().contains("exactly the following words");
        let words = instructions.split_once('\n').map(|(_, words)| words.trim().to_owned());
        if let Some(text) = words.filter(|words| exactly && !words.is_empty()) {
            return Reply { text, calls: Vec::new() };
        }
        let mut config = config.clone();
        config.instructions.clone_from(instructions);
        return brain::reply(&items.conversation(&config, choice));
    }
    brain::reply(&items.conversation(config, choice))
}
