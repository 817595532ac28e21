//! One message to a webhook. A redirect is an answer like another, and what the server says is only shown to a person who tests.

use std::path::Path;

use crate::fetch::header::{CONTENT_TYPE, RETRY_AFTER};
use crate::fetch::{self, Answer, Ask, Endpoint, StatusCode};
use crate::hosts::hygiene;

use super::send::Failed;

/// Bytes of an answer that are read.
const ANSWER: usize = 2048;

/// What is sent.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) method: String,
    /// Behind the endpoint's own path.
    pub(super) path: String,
    pub(super) content_type: String,
    pub(super) bearer: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Sends it; gives what the server said. Any status but 2xx is a failure.
pub(super) async fn send(to: &Endpoint, post: Post, ca_file: Option<&Path>) -> Result<String, Failed> {
    let ask = Ask {
        method: post.method,
        headers: vec![(CONTENT_TYPE, post.content_type)],
        authorization: post.bearer.map(|token| format!("Bearer {token}")),
        body: post.body,
    };
    let answer = fetch::send(&to.clone().behind(&post.path), ask, ca_file, ANSWER).await?;
    let (status, wait_ms) = (answer.status, retry_after(&answer));
    // Harmless on a terminal.
    let said = hygiene::one_line(&hygiene::clean(&answer.body).text, 200);
    if status.is_success() {
        return Ok(format!("{status} {said}").trim_end().to_owned());
    }
    let cause = if status.is_redirection() {
        format!("{status}: it points elsewhere, and that is not followed; set the right url")
    } else {
        format!("{status} {said}").trim_end().to_owned()
    };
    Err(Failed { cause, wait_ms: wait_ms.filter(|_| asks_to_wait(status)) })
}

fn asks_to_wait(status: StatusCode) -> bool {
    matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}

fn retry_after(answer: &Answer) -> Option<i64> {
    let seconds: i64 = answer.headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(seconds.clamp(0, 86_400) * 1000)
}
