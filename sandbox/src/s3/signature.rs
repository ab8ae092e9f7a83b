//! AWS Signature Version 4, as it stands in a header or in the query string of a presigned URL.

use axum::http::{HeaderMap, header, request::Parts};
use chrono::{NaiveDateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::error::S3Error;

/// The one user there is.
pub const ACCESS_KEY: &str = "SANDBOXACCESSKEY";
pub const SECRET_KEY: &str = "sandbox/secret+key";
pub const REGION: &str = "ap-south-1";

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// Clocks that differ by more are not believed.
const MAX_SKEW: TimeDelta = TimeDelta::minutes(15);
/// A week.
const LONGEST_EXPIRY_SECS: i64 = 604_800;

/// What a request says about its signature.
struct Claim {
    credential: String,
    signed_headers: String,
    signature: String,
    date: String,
    /// How long a presigned URL holds.
    expires: Option<i64>,
    payload: String,
}

/// Whether the request is signed by our user, as it was sent, and its body is the one that was signed.
pub fn check(parts: &Parts, body: &[u8]) -> Result<(), S3Error> {
    let query = parts.uri.query().unwrap_or_default();
    let claim = match parts.headers.get(header::AUTHORIZATION) {
        Some(value) => in_header(value.to_str().unwrap_or_default(), &parts.headers)?,
        None => in_query(query)?,
    };
    let said = NaiveDateTime::parse_from_str(&claim.date, "%Y%m%dT%H%M%SZ");
    let said = said.map_err(|_no_date| S3Error::forbidden("AccessDenied"))?.and_utc();
    let lasts = claim.expires.map_or(MAX_SKEW, TimeDelta::seconds);
    let age = Utc::now() - said;
    if age > lasts || age < -MAX_SKEW {
        return Err(S3Error::forbidden("RequestTimeTooSkewed"));
    }
    let day = claim.date.split('T').next().unwrap_or_default();
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    match claim.credential.split_once('/') {
        Some((ACCESS_KEY, of)) if of == scope => {}
        Some((ACCESS_KEY, _)) => return Err(S3Error::bad_request("AuthorizationHeaderMalformed")),
        _ => return Err(S3Error::forbidden("InvalidAccessKeyId")),
    }
    if claim.payload != UNSIGNED && claim.payload != hex(&Sha256::digest(body)) {
        return Err(S3Error::bad_request("XAmzContentSHA256Mismatch"));
    }
    let request = canonical(parts, query, &claim)?;
    let text = format!("{ALGORITHM}\n{}\n{scope}\n{}", claim.date, hex(&Sha256::digest(request)));
    if hex(&sign(day, text.as_bytes())) != claim.signature {
        return Err(S3Error::forbidden("SignatureDoesNotMatch"));
    }
    Ok(())
}

/// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
fn in_header(text: &str, headers: &HeaderMap) -> Result<Claim, S3Error> {
    let malformed = || S3Error::bad_request("AuthorizationHeaderMalformed");
    let fields = text.strip_prefix(ALGORITHM).ok_or_else(malformed)?;
    let field = |name: &str| {
        let mut fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
        fields.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned()).ok_or_else(malformed)
    };
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.map(str::to_owned).ok_or_else(|| S3Error::forbidden("AccessDenied"))
    };
    Ok(Claim {
        credential: field("Credential")?,
        signed_headers: field("SignedHeaders")?,
        signature: field("Signature")?,
        date: header("x-amz-date")?,
        expires: None,
        payload: header("x-amz-content-sha256")?,
    })
}

fn in_query(query: &str) -> Result<Claim, S3Error> {
    let field = |name: &str| {
        let mut fields = form_urlencoded::parse(query.as_bytes());
        fields.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    };
    let required = |name: &str| field(name).ok_or_else(|| S3Error::forbidden("AccessDenied"));
    if required("X-Amz-Algorithm")? != ALGORITHM {
        return Err(S3Error::bad_request("AuthorizationQueryParametersError"));
    }
    let expires = required("X-Amz-Expires")?.parse().ok().filter(|secs| (1..=LONGEST_EXPIRY_SECS).contains(secs));
    Ok(Claim {
        credential: required("X-Amz-Credential")?,
        signed_headers: required("X-Amz-SignedHeaders")?,
        signature: required("X-Amz-Signature")?,
        date: required("X-Amz-Date")?,
        expires: Some(expires.ok_or_else(|| S3Error::bad_request("AuthorizationQueryParametersError"))?),
        payload: UNSIGNED.to_owned(),
    })
}

fn canonical(parts: &Parts, query: &str, claim: &Claim) -> Result<String, S3Error> {
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name != "X-Amz-Signature")
        .map(|(name, value)| (encode(&name), encode(&value)))
        .collect();
    pairs.sort_unstable();
    let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
    let signed: Vec<&str> = claim.signed_headers.split(';').collect();
    let is_bound = |name: &str| signed.contains(&name);
    // Whoever leaves these out could be made to say something else.
    let unbound = parts.headers.keys().any(|name| name.as_str().starts_with("x-amz-") && !is_bound(name.as_str()));
    if !is_bound("host") || unbound || !signed.is_sorted() {
        return Err(S3Error::forbidden("AccessDenied"));
    }
    let mut headers = String::new();
    for name in &signed {
        let values: Vec<&str> = parts.headers.get_all(*name).iter().filter_map(|value| value.to_str().ok()).collect();
        if values.is_empty() {
            return Err(S3Error::forbidden("SignatureDoesNotMatch"));
        }
        let value = values.join(",").split_whitespace().collect::<Vec<_>>().join(" ");
        headers.push_str(&format!("{name}:{value}\n"));
    }
    let (method, path) = (&parts.method, parts.uri.path());
    Ok(format!("{method}\n{path}\n{query}\n{headers}\n{}\n{}", claim.signed_headers, claim.payload))
}

fn sign(day: &str, text: &[u8]) -> Vec<u8> {
    let mut key = format!("AWS4{SECRET_KEY}").into_bytes();
    for step in [day.as_bytes(), REGION.as_bytes(), b"s3", b"aws4_request", text] {
        key = mac(&key, step);
    }
    key
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All but the unreserved characters of RFC 3986.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn refusal(request: Request<()>, body: &[u8]) -> Option<&'static str> {
        check(&request.into_parts().0, body).err().map(|error| error.code)
    }

    /// Signed as the documents say; `payload` is what the request claims of its body.
    fn signed(path: &str, payload: &str) -> Request<()> {
        let date = Utc::now().format("%Y%m%dT%H%M%SZ").to_string();
        let day = &date[..8];
        let headers = format!("host:127.0.0.1\nx-amz-content-sha256:{payload}\nx-amz-date:{date}\n");
        let names = "host;x-amz-content-sha256;x-amz-date";
        let request = format!("PUT\n{path}\n\n{headers}\n{names}\n{payload}");
        let scope = format!("{day}/{REGION}/s3/aws4_request");
        let text = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex(&Sha256::digest(request)));
        let signature = hex(&sign(day, text.as_bytes()));
        let authorization =
            format!("{ALGORITHM} Credential={ACCESS_KEY}/{scope}, SignedHeaders={names}, Signature={signature}");
        Request::put(path)
            .header("host", "127.0.0.1")
            .header("x-amz-date", date)
            .header("x-amz-content-sha256", payload)
            .header("authorization", authorization)
            .body(())
            .unwrap()
    }

    #[test]
    fn only_what_was_signed_as_it_is_sent_is_taken() {
        let hash = hex(&Sha256::digest(b"sound"));
        assert_eq!(refusal(signed("/s3/recordings/a.wav", &hash), b"sound"), None);
        assert_eq!(refusal(signed("/s3/recordings/a.wav", &hash), b"noise"), Some("XAmzContentSHA256Mismatch"));
        assert_eq!(refusal(Request::put("/s3/recordings/a.wav").body(()).unwrap(), b""), Some("AccessDenied"));
        let mut elsewhere = signed("/s3/recordings/a.wav", &hash);
        *elsewhere.uri_mut() = "/s3/recordings/b.wav".parse().unwrap();
        assert_eq!(refusal(elsewhere, b"sound"), Some("SignatureDoesNotMatch"));
        let mut unbound = signed("/s3/recordings/a.wav", &hash);
        unbound.headers_mut().insert("x-amz-acl", "public-read".parse().unwrap());
        assert_eq!(refusal(unbound, b"sound"), Some("AccessDenied"));
        let mut basic = signed("/s3/recordings/a.wav", &hash);
        basic.headers_mut().insert("authorization", "Basic YTpi".parse().unwrap());
        assert_eq!(refusal(basic, b"sound"), Some("AuthorizationHeaderMalformed"));
    }
}
