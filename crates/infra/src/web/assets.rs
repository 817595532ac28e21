//! Style, script and icon: compiled in, and loaded by the pages with their digests.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use base64ct::{Base64, Encoding};

const CSS: &str = include_str!("assets/app.css");
const JS: &str = include_str!("assets/app.js");
const ICON: &str = include_str!("assets/icon.svg");

pub(super) static CSS_INTEGRITY: LazyLock<String> = LazyLock::new(|| integrity(CSS));
pub(super) static JS_INTEGRITY: LazyLock<String> = LazyLock::new(|| integrity(JS));

fn integrity(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA384, text.as_bytes());
    format!("sha384-{}", Base64::encode_string(digest.as_ref()))
}

pub(super) async fn serve(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "app.css" => ("text/css; charset=utf-8", CSS),
        "app.js" => ("text/javascript; charset=utf-8", JS),
        "icon.svg" => ("image/svg+xml", ICON),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], text).into_response()
}
