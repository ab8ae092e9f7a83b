//! The campaign's recording for answering machines: fetched while the machine still talks, played after its beep.

use std::{io::Cursor, sync::Arc, time::Duration};

use anyhow::{Context, ensure};
use futures::TryStreamExt;
use hound::WavReader;
use shared::storage::Storage;
use tokio::time::timeout;

use super::actor::Actor;
use crate::{
    carrier::SAMPLE_RATE_HZ,
    dialogue::{Epoch, Input},
    pacer::PacerCommand,
    tts::SpeechAudio,
};

/// Machines rarely greet for less; after it the spoken message is as good.
const FETCH_WITHIN: Duration = Duration::from_secs(5);
/// A minute at 8 kHz, and its header.
const MAX_BYTES: u64 = 1_000_000;

impl Actor {
    pub(super) fn prepare_recording(&mut self) {
        let Some(key) = self.voicemail_key.clone() else { return };
        let (storage, fetched, call_id) = (self.app.storage.clone(), self.fetched.clone(), self.held.call_id);
        self.tasks.spawn(async move {
            let outcome = match timeout(FETCH_WITHIN, fetch(&storage, &key)).await {
                Ok(Ok(samples)) => {
                    // The call may be over.
                    let _ = fetched.try_send(samples);
                    "fetched"
                }
                Ok(Err(error)) => {
                    tracing::error!(%call_id, error = format!("{error:#}"), "the recording for machines cannot be played");
                    "failed"
                }
                Err(_elapsed) => {
                    tracing::warn!(%call_id, "the recording for machines did not come in time");
                    "late"
                }
            };
            metrics::counter!("voicemail_recordings_total", "outcome" => outcome).increment(1);
        });
    }

    pub(super) fn recording_fetched(&mut self, samples: Arc<[i16]>) {
        self.voicemail = Some(samples);
        self.give(Input::RecordingReady);
    }

    /// Its sound is whole from the beginning: what a voice gives bit by bit is given at once.
    pub(super) fn play_recording(&mut self, epoch: Epoch, clause: u32) {
        let Some(samples) = self.voicemail.take() else {
            return self.inputs.push_back(Input::TtsFailed { epoch, clause });
        };
        let count = u32::try_from(samples.len()).unwrap_or(u32::MAX);
        self.order(PacerCommand::Play { epoch, clause, audio: SpeechAudio { samples, permit: None } });
        self.order(PacerCommand::End { epoch });
        self.inputs.push_back(Input::TtsAudio { epoch, clause, samples: count, alignment: Vec::new() });
        self.inputs.push_back(Input::TtsDone { epoch });
    }
}

async fn fetch(storage: &Storage, key: &str) -> anyhow::Result<Arc<[i16]>> {
    let object = storage.get(key).await.context("the object store does not give it")?.context("it is not there")?;
    ensure!(object.size_bytes <= MAX_BYTES, "it has {} bytes", object.size_bytes);
    let content: Vec<bytes::Bytes> = object.stream.try_collect().await.context("it was cut short")?;
    tokio::task::spawn_blocking(move || samples(&content.concat())).await.context("its reader panicked")?
}

fn samples(wav: &[u8]) -> anyhow::Result<Arc<[i16]>> {
    let mut reader = WavReader::new(Cursor::new(wav)).context("it is no WAV")?;
    let spec = reader.spec();
    ensure!((spec.channels, spec.sample_rate) == (1, SAMPLE_RATE_HZ), "it is not telephone sound");
    let samples: Arc<[i16]> = reader.samples().collect::<Result<_, _>>().context("it is not as long as it says")?;
    ensure!(!samples.is_empty(), "it is empty");
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_api_stored_is_what_is_played() {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::local(dir.path()).unwrap();
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 8_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut wav, spec).unwrap();
        (0..8_000_i16).for_each(|sample| writer.write_sample(sample).unwrap());
        writer.finalize().unwrap();
        storage.put("voicemail/1/2/a.wav", wav.into_inner().into()).await.unwrap();
        assert_eq!(fetch(&storage, "voicemail/1/2/a.wav").await.unwrap()[..], (0..8_000).collect::<Vec<i16>>());
        assert!(fetch(&storage, "voicemail/1/2/b.wav").await.is_err());
    }
}
