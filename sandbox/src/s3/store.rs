//! The bucket's content, and the uploads that are under way.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use axum::{body::Bytes, http::StatusCode};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::error::S3Error;

/// Every part but the last has at least as much.
const LEAST_PART_BYTES: usize = 5 << 20;
const MAX_PART_NUMBER: u32 = 10_000;

#[derive(Debug, Clone)]
pub struct Object {
    pub content: Bytes,
    /// In quotes, as it travels.
    pub e_tag: String,
    pub modified: DateTime<Utc>,
}

/// A part as an upload's completion names it.
#[derive(Debug, Clone)]
pub struct Part {
    pub number: u32,
    pub e_tag: String,
}

#[derive(Debug, Default)]
struct Content {
    objects: BTreeMap<String, Object>,
    uploads: HashMap<String, Upload>,
    next_upload: u64,
}

#[derive(Debug)]
struct Upload {
    key: String,
    parts: BTreeMap<u32, Object>,
}

/// One bucket.
#[derive(Debug, Default)]
pub struct Store {
    content: Mutex<Content>,
}

impl Store {
    /// The keys of all objects, in their order.
    pub fn keys(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    pub fn get(&self, key: &str) -> Option<Object> {
        self.lock().objects.get(key).cloned()
    }

    /// Uploads that were neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.lock().uploads.len()
    }

    pub(super) fn put(&self, key: &str, content: Bytes) -> String {
        let object = Object::new(content);
        let e_tag = object.e_tag.clone();
        self.lock().objects.insert(key.to_owned(), object);
        e_tag
    }

    pub(super) fn delete(&self, key: &str) -> Option<Object> {
        self.lock().objects.remove(key)
    }

    pub(super) fn create_upload(&self, key: &str) -> String {
        let mut content = self.lock();
        content.next_upload += 1;
        let id = format!("upload-{}", content.next_upload);
        content.uploads.insert(id.clone(), Upload { key: key.to_owned(), parts: BTreeMap::new() });
        id
    }

    pub(super) fn put_part(&self, key: &str, upload: &str, number: u32, part: Bytes) -> Result<String, S3Error> {
        if !(1..=MAX_PART_NUMBER).contains(&number) {
            return Err(S3Error::bad_request("InvalidArgument"));
        }
        let part = Object::new(part);
        let e_tag = part.e_tag.clone();
        self.lock().upload(key, upload)?.parts.insert(number, part);
        Ok(e_tag)
    }

    /// Makes the object of exactly the parts that are listed, which are those that were sent, in their order.
    pub(super) fn complete_upload(&self, key: &str, upload: &str, listed: &[Part]) -> Result<Object, S3Error> {
        let mut content = self.lock();
        let sent = &content.upload(key, upload)?.parts;
        if listed.windows(2).any(|pair| pair[0].number >= pair[1].number) {
            return Err(S3Error::bad_request("InvalidPartOrder"));
        }
        let mut whole = Vec::new();
        for (at, part) in listed.iter().enumerate() {
            let found =
                sent.get(&part.number).filter(|sent| sent.e_tag.trim_matches('"') == part.e_tag.trim_matches('"'));
            let found = found.ok_or_else(|| S3Error::bad_request("InvalidPart"))?;
            if at + 1 < listed.len() && found.content.len() < LEAST_PART_BYTES {
                return Err(S3Error::bad_request("EntityTooSmall"));
            }
            whole.extend_from_slice(&found.content);
        }
        let mut object = Object::new(whole.into());
        object.e_tag = format!("{}-{}\"", object.e_tag.trim_end_matches('"'), listed.len());
        content.uploads.remove(upload);
        content.objects.insert(key.to_owned(), object.clone());
        Ok(object)
    }

    pub(super) fn abort_upload(&self, key: &str, upload: &str) -> Result<(), S3Error> {
        let mut content = self.lock();
        content.upload(key, upload)?;
        content.uploads.remove(upload);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    fn upload(&mut self, key: &str, id: &str) -> Result<&mut Upload, S3Error> {
        let upload = self.uploads.get_mut(id).filter(|upload| upload.key == key);
        upload.ok_or_else(|| S3Error::new(StatusCode::NOT_FOUND, "NoSuchUpload"))
    }
}

impl Object {
    fn new(content: Bytes) -> Self {
        // Opaque to clients: the real one is not always an MD5 either.
        let e_tag = Sha256::digest(&content).iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
        Self { content, e_tag: format!("\"{e_tag}\""), modified: Utc::now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u32, e_tag: String) -> Part {
        Part { number, e_tag }
    }

    #[test]
    fn an_upload_is_the_parts_that_were_sent_in_their_order() {
        let store = Store::default();
        let upload = store.create_upload("a");
        let large = Bytes::from(vec![1; LEAST_PART_BYTES]);
        let second = store.put_part("a", &upload, 2, Bytes::from_static(b"end")).unwrap();
        let first = store.put_part("a", &upload, 1, large).unwrap();
        let complete = |parts: &[Part]| store.complete_upload("a", &upload, parts).map_err(|error| error.code);
        let (one, two) = (part(1, first), part(2, second));
        assert_eq!(complete(&[two.clone(), one.clone()]).unwrap_err(), "InvalidPartOrder");
        assert_eq!(complete(&[one.clone(), part(2, "\"other\"".into())]).unwrap_err(), "InvalidPart");
        assert!(store.get("a").is_none());
        assert_eq!(complete(&[one, two]).unwrap().content.len(), LEAST_PART_BYTES + 3);
        assert_eq!((store.keys(), store.open_uploads()), (vec!["a".to_owned()], 0));
    }

    #[test]
    fn a_part_that_is_too_small_or_of_no_upload_is_refused() {
        let store = Store::default();
        let upload = store.create_upload("a");
        let tags = [1, 2].map(|n| store.put_part("a", &upload, n, Bytes::from_static(b"small")).unwrap());
        let parts = [part(1, tags[0].clone()), part(2, tags[1].clone())];
        assert_eq!(store.complete_upload("a", &upload, &parts).unwrap_err().code, "EntityTooSmall");
        assert_eq!(store.put_part("b", &upload, 1, Bytes::new()).unwrap_err().code, "NoSuchUpload");
        store.abort_upload("a", &upload).unwrap();
        assert_eq!(store.abort_upload("a", &upload).unwrap_err().code, "NoSuchUpload");
    }
}
