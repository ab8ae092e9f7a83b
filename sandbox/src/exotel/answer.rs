//! JSON where the path ends in `.json`, otherwise XML under `<TwilioResponse>`.

use std::fmt::Write as _;

use axum::{
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use serde_json::Value;

/// What the path asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Xml,
}

impl Format {
    /// Splits the last path segment into its name and the format it asks for.
    pub fn split(segment: &str) -> (&str, Self) {
        match segment.strip_suffix(".json") {
            Some(name) => (name, Self::Json),
            None => (segment, Self::Xml),
        }
    }

    pub fn of_path(path: &str) -> Self {
        if path.ends_with(".json") { Self::Json } else { Self::Xml }
    }
}

/// A body in the given format.
pub fn answer(format: Format, status: StatusCode, body: &Value) -> Response {
    match format {
        Format::Json => (status, axum::Json(body)).into_response(),
        Format::Xml => (status, [(CONTENT_TYPE, "application/xml; charset=UTF-8")], xml(body)).into_response(),
    }
}

/// The value as Exotel's XML: objects as elements, null as an empty element.
fn xml(body: &Value) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<TwilioResponse>");
    write_children(&mut out, body);
    out.push_str("</TwilioResponse>\n");
    out
}

fn write_children(out: &mut String, value: &Value) {
    let Value::Object(fields) = value else { return };
    for (name, value) in fields {
        match value {
            Value::Array(items) => items.iter().for_each(|item| write_element(out, name, item)),
            other => write_element(out, name, other),
        }
    }
}

fn write_element(out: &mut String, name: &str, value: &Value) {
    if value.is_null() {
        let _ = write!(out, "<{name}/>");
        return;
    }
    let _ = write!(out, "<{name}>");
    match value {
        Value::Object(_) => write_children(out, value),
        Value::String(text) => out.push_str(&escape(text)),
        other => out.push_str(&other.to_string()),
    }
    let _ = write!(out, "</{name}>");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn without_json_in_the_path_the_answer_is_xml() {
        assert_eq!(Format::split("connect.json"), ("connect", Format::Json));
        assert_eq!(Format::split("connect"), ("connect", Format::Xml));
        let body = json!({"Call": {"Sid": "a&b", "To": null, "Duration": 3}});
        assert_eq!(
            xml(&body),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<TwilioResponse><Call><Duration>3</Duration>\
             <Sid>a&amp;b</Sid><To/></Call></TwilioResponse>\n"
        );
    }
}
